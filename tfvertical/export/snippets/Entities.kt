// Entities in texts of any length: copy this file into the app beside Tokenizer.kt and Words.kt.
// Plain Kotlin; the same steps as tfvertical.runtime.Tagger, which golden.jsonl lets you check: its places count code
// points, here text.codePointCount(0, start).
package tfvertical

import kotlin.math.exp
import kotlin.math.ln

/** [start] and [end] count UTF-16 units, as String.substring does; [score] is the mean of its words' tags. */
data class Entity(val text: String, val label: String, val start: Int, val end: Int, val score: Float)

/**
 * Finds what a text names.
 *
 * [tags] are the lines of labels.txt, [every] is whether preprocessing.json says `"pieces": "all"`, [steps] are its
 * `steps` where it has them, and [run] takes a model's inputs by name to its `scores`, a row for each position.
 */
class Tagger(
    private val tokenizer: Tokenizer,
    private val tags: List<String>,
    private val every: Boolean = false,
    private val steps: List<FloatArray>? = null,
    private val run: (Map<String, IntArray>) -> Array<FloatArray>
) {
    fun find(text: String): List<Entity> {
        val words = words(text)
        val alone = scores(words.map { text.substring(it.first, it.second) })
        val best = decode(alone)
        val scores = if (steps == null || words.isEmpty()) alone else chained(alone, steps)
        val found = ArrayList<Entity>()
        var at = 0
        while (at < words.size) {
            val start = at++
            if (best[start] % 2 == 0) continue // outside: B- is odd, I- follows it
            while (at < words.size && best[at] == best[start] + 1) at++
            val score = (start until at).map { scores[it][best[it]] }.average().toFloat()
            val (first, last) = words[start].first to words[at - 1].second
            found.add(Entity(text.substring(first, last), tags[best[start]].substring(2), first, last, score))
        }
        return found
    }

    /** Probabilities of the tags of each word by itself, read in windows. */
    private fun scores(words: List<String>): List<FloatArray> {
        val cut = words.map { tokenizer.pieces(it).take(tokenizer.room) }
        val total = words.map { FloatArray(tags.size) }
        val count = IntArray(words.size)
        for (window in windows(cut.map { it.size }, tokenizer.room)) {
            val made = run(tokenizer.inputs((window.first until window.last).flatMap { cut[it] }))
            var position = 1 // behind [CLS]
            for (word in window.first until window.last) {
                for (piece in cut[word].indices) {
                    if (word >= window.ownFirst && word < window.ownLast && (every || piece == 0)) {
                        for (tag in tags.indices) total[word][tag] += made[position][tag]
                        count[word]++
                    }
                    position++
                }
            }
        }
        return total.mapIndexed { word, sums ->
            FloatArray(tags.size) { if (count[word] > 0) sums[it] / count[word] else 1f / tags.size }
        }
    }

    /** What the step from a tag to another is worth; [tags].size stands for the beginning, one more for the end. */
    private fun step(from: Int, to: Int): Float = steps?.get(from)?.get(to) ?: 0f

    /** The most probable tags that make sense: Viterbi's search, in which I- follows B- and I- of its own type only. */
    private fun decode(scores: List<FloatArray>): IntArray {
        val came = scores.map { IntArray(tags.size) }
        var total = FloatArray(tags.size)
        scores.forEachIndexed { word, row ->
            val before = total
            total = FloatArray(tags.size) { tag ->
                fun reached(from: Int) = before[from] + step(from, tag)
                val inside = tag > 0 && tag % 2 == 0
                val allowed = if (inside) tag - 1..tag else before.indices
                val from = allowed.reduce { most, each -> if (reached(each) > reached(most)) each else most }
                came[word][tag] = from
                val own = ln(maxOf(row[tag], SMALLEST))
                if (word > 0) own + reached(from)
                else if (inside) Float.NEGATIVE_INFINITY
                else own + step(tags.size, tag)
            }
        }
        val found = IntArray(scores.size)
        fun ended(tag: Int) = total[tag] + step(tags.size + 1, tag)
        var now = total.indices.reduce { most, tag -> if (ended(tag) > ended(most)) tag else most }
        for (word in scores.indices.reversed()) {
            found[word] = now
            now = came[word][now]
        }
        return found
    }

    /** Each tag's probability given all words: the forward-backward algorithm of a conditional random field. */
    private fun chained(scores: List<FloatArray>, steps: List<FloatArray>): List<FloatArray> {
        fun of(row: FloatArray, most: Float) = DoubleArray(row.size) { exp((row[it] - most).toDouble()) }
        fun even(row: DoubleArray): DoubleArray = row.sum().let { sum -> DoubleArray(row.size) { row[it] / sum } }
        fun most(rows: List<FloatArray>) = rows.flatMap { it.toList() }.reduce { one, other -> maxOf(one, other) }
        val count = tags.size
        val between = steps.take(count).let { rows -> rows.map { of(it, most(rows)) } }
        val (first, last) = steps.drop(count).map { of(it, most(listOf(it))) }
        val here = scores.map { row -> DoubleArray(count) { maxOf(row[it], SMALLEST).toDouble() } }
        val forward = ArrayList<DoubleArray>()
        for (row in here) {
            val before = forward.lastOrNull()
            fun came(tag: Int) =
                if (before == null) first[tag] else (0 until count).map { before[it] * between[it][tag] }.sum()
            forward.add(even(DoubleArray(count) { row[it] * came(it) }))
        }
        var backward = last
        val found = ArrayList<FloatArray>()
        for (word in here.indices.reversed()) {
            val both = even(DoubleArray(count) { forward[word][it] * backward[it] })
            found.add(FloatArray(count) { both[it].toFloat() })
            val behind = DoubleArray(count) { here[word][it] * backward[it] }
            backward = even(DoubleArray(count) { tag -> (0 until count).map { between[tag][it] * behind[it] }.sum() })
        }
        return found.asReversed()
    }

    private companion object {
        const val SMALLEST = 1.17549435e-38f
    }
}
