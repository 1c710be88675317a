// The passage of a text that answers a question: copy this file into the app beside Tokenizer.kt and Words.kt.
// Plain Kotlin; the same steps as tfvertical.runtime.Answerer, which golden.jsonl lets you check: its places count code
// points, here text.codePointCount(0, start).
package tfvertical

import kotlin.math.exp

/** [start] and [end] count the context's UTF-16 units; [text] is empty, and both are 0, where it holds no answer. */
data class Answer(val text: String, val start: Int, val end: Int, val score: Float)

/**
 * Answers questions.
 *
 * [maxQuestion], [mostWords] and [threshold] stand in preprocessing.json as `max_question`, `codec.most_words` and
 * `codec.threshold` (null always answers), and [run] takes a model's inputs by name to its `scores`, a row for each
 * position.
 */
class Answerer(
    private val tokenizer: Tokenizer,
    private val maxQuestion: Int,
    private val mostWords: Int,
    private val threshold: Double?,
    private val run: (Map<String, IntArray>) -> Array<FloatArray>
) {
    fun answer(question: String, context: String): Answer {
        val words = words(context)
        val scores = scores(question, words.map { context.substring(it.first, it.second) })
        var best = -1e4
        var place = -1 to -1
        for (more in 0 until minOf(mostWords, words.size)) {
            for (first in 0 until words.size - more) {
                val together = scores[first][0].toDouble() + scores[first + more][1]
                if (together > best) {
                    best = together
                    place = first to first + more
                }
            }
        }
        val sure = (1 / (1 + exp(-best.coerceIn(-60.0, 60.0)))).toFloat()
        if (place.first < 0 || (threshold != null && best < threshold)) return Answer("", 0, 0, 1 - sure)
        val (start, end) = words[place.first].first to words[place.second].second
        return Answer(context.substring(start, end), start, end, sure)
    }

    /** How much likelier each word begins or ends the answer than that there is none. */
    private fun scores(question: String, words: List<String>): List<FloatArray> {
        val asked = tokenizer.pieces(question).take(maxQuestion)
        val cut = words.map { tokenizer.pieces(it).take(tokenizer.room - 1 - maxQuestion) }
        val found = words.map { floatArrayOf(-1e4f, -1e4f) }
        for (window in windows(cut.map { it.size }, tokenizer.room - 1 - asked.size)) {
            val told = run(tokenizer.inputs(asked, (window.first until window.last).flatMap { cut[it] }))
            var position = asked.size + 2 // behind [CLS], the question and [SEP]
            for (word in window.first until window.last) {
                if (word >= window.ownFirst && word < window.ownLast && cut[word].isNotEmpty()) {
                    found[word][0] = told[position][0]
                    found[word][1] = told[position][1]
                }
                position += cut[word].size
            }
        }
        return found
    }
}
