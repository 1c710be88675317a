// Texts to the ids that the model was trained on: copy this file into the app, vocab.txt and normalizer.bin beside it.
// Plain Kotlin; the same steps as tfvertical's own, which golden.jsonl lets you check.
package tfvertical

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What stands in the place of each code point; [table] is the content of normalizer.bin. */
class Normalizer(table: ByteArray) {
    private val pages: IntArray
    private val codes: IntArray
    private val extras: IntArray
    private val width: Int

    init {
        val buffer = ByteBuffer.wrap(table).order(ByteOrder.LITTLE_ENDIAN)
        require(buffer.getInt() == 0x314E5654) { "this is no normalizer.bin of version 1" }
        pages = IntArray(buffer.getInt())
        codes = IntArray(buffer.getInt())
        extras = IntArray(buffer.getInt())
        width = buffer.getInt()
        for (array in listOf(pages, codes, extras)) for (at in array.indices) array[at] = buffer.getInt()
    }

    /** The text as words between single spaces. MediaPipe's classify wants it so, too. */
    fun normalize(text: String): String {
        val mapped = StringBuilder()
        var at = 0
        while (at < text.length) {
            val point = text.codePointAt(at)
            at += Character.charCount(point)
            val code = codes[pages[point ushr 8] * 256 + (point and 255)]
            val value = code shr 2
            when (code and 3) {
                0 -> mapped.appendCodePoint(point + value)
                2 -> mapped.append(' ').appendCodePoint(point + value).append(' ')
                3 -> for (place in value * width until (value + 1) * width) {
                    if (extras[place] < 0) break
                    mapped.appendCodePoint(extras[place])
                }
            }
        }
        return mapped.split(' ').filter { it.isNotEmpty() }.joinToString(" ")
    }
}

/** WordPiece; [vocabulary] are the lines of vocab.txt, [lengths] the tokens that the model takes, in ascending order. */
class Tokenizer(vocabulary: List<String>, private val normalizer: Normalizer, private val lengths: List<Int>) {
    constructor(vocabulary: List<String>, normalizer: Normalizer, length: Int) :
        this(vocabulary, normalizer, listOf(length))

    private val starts = HashMap<String, Int>()
    private val continues = HashMap<String, Int>()
    private val longest = vocabulary.fold(0) { most, piece -> maxOf(most, piece.length) }
    private val unknown: Int
    private val first: Int
    private val last: Int
    private val pad: Int

    init {
        vocabulary.forEachIndexed { id, piece ->
            if (piece.isNotEmpty()) starts[piece] = id
            if (piece.startsWith("##") && piece.length > 2) continues[piece.substring(2)] = id
        }
        unknown = starts.getValue("[UNK]")
        first = starts.getValue("[CLS]")
        last = starts.getValue("[SEP]")
        pad = starts.getValue("[PAD]")
    }

    /** How many pieces of a text the model takes. */
    val room: Int get() = lengths.last() - 2

    /** The model's inputs by name, each of as many numbers as the first of [lengths] that holds the text. */
    fun inputs(text: String): Map<String, IntArray> = inputs(pieces(text))

    /** The same of pieces; those for which there is no [room] are cut off. */
    fun inputs(pieces: List<Int>): Map<String, IntArray> = padded(listOf(first) + pieces.take(room) + last)

    /** Where preprocessing.json says `"windows": true`: those of a long text's parts, whose scores are averaged. */
    fun inputsInWindows(text: String): List<Map<String, IntArray>> {
        val ids = pieces(text)
        val rest = maxOf(ids.size - room, 0)
        return ((0 until rest step maxOf(1, room * 3 / 4)) + rest).map { inputs(ids.drop(it)) }
    }

    /** The inputs of two texts that are read together; the longer one is cut first. */
    fun inputs(one: String, other: String): Map<String, IntArray> = inputs(pieces(one), pieces(other))

    /** The same of their pieces. */
    fun inputs(one: List<Int>, other: List<Int>): Map<String, IntArray> {
        val both = room - 1
        val kept = one.take(maxOf(both - other.size, both - both / 2))
        return padded(listOf(first) + kept + last + other.take(maxOf(both - one.size, both / 2)) + last, kept.size + 2)
    }

    /** The inputs of two texts that are read apart (`"encoder": "bi"` in preprocessing.json). */
    fun inputsApart(one: String, other: String): Map<String, IntArray> {
        val sides = listOf(one, other).map { listOf(first) + pieces(it).take(room) + last }
        val length = lengths.first { it >= maxOf(sides[0].size, sides[1].size) }
        return listOf("first_", "second_").zip(sides).flatMap { (side, wrapped) ->
            padded(wrapped, length = length).map { (name, numbers) -> side + name to numbers }
        }.toMap()
    }

    /** The ids of a text's pieces, without those that stand around them. */
    fun pieces(text: String): List<Int> =
        normalizer.normalize(text).split(' ').filter { it.isNotEmpty() }.flatMap { cut(it) }

    private fun padded(
        wrapped: List<Int>,
        second: Int = wrapped.size,
        length: Int = lengths.first { it >= wrapped.size }
    ): Map<String, IntArray> = mapOf(
        "token_ids" to IntArray(length) { if (it < wrapped.size) wrapped[it] else pad },
        "padding_mask" to IntArray(length) { if (it < wrapped.size) 1 else 0 },
        "segment_ids" to IntArray(length) { if (it >= second && it < wrapped.size) 1 else 0 }
    )

    private fun cut(word: String): List<Int> {
        if (word.toByteArray(Charsets.UTF_8).size > 100) return listOf(unknown)
        val pieces = ArrayList<Int>()
        var start = 0
        while (start < word.length) {
            val known = if (start == 0) starts else continues
            var end = minOf(word.length, start + longest)
            while (end > start && word.substring(start, end) !in known) end--
            if (end == start) return listOf(unknown)
            pieces.add(known.getValue(word.substring(start, end)))
            start = end
        }
        return pieces
    }
}
