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
    private val longest = vocabulary.maxOf { it.length }
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

    /** The model's inputs by name, each of as many numbers as the first of [lengths] that holds the text. */
    fun inputs(text: String): Map<String, IntArray> {
        val pieces = normalizer.normalize(text).split(' ').filter { it.isNotEmpty() }.flatMap { cut(it) }
        val wrapped = listOf(first) + pieces.take(lengths.last() - 2) + last
        val length = lengths.first { it >= wrapped.size }
        return mapOf(
            "token_ids" to IntArray(length) { if (it < wrapped.size) wrapped[it] else pad },
            "padding_mask" to IntArray(length) { if (it < wrapped.size) 1 else 0 },
            "segment_ids" to IntArray(length),
        )
    }

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
