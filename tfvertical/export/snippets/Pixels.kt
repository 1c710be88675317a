// What becomes of a picture before the model, as in training: cut, then resized with the filters of Pillow.
package tfvertical

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/** The model's size in pixels, and how a picture gets there, as "config" in preprocessing.json says. */
class Pixels(
    private val rows: Int,
    private val columns: Int,
    private val crop: String,
    private val margin: Int,
    private val resample: String
) {
    private class Box(val top: Int, val left: Int, val height: Int, val width: Int)

    private class Share(val start: Int, val weights: IntArray)

    /** The RGB bytes that the model takes, row by row, of an upright picture's RGB bytes. */
    fun prepare(picture: ByteArray, width: Int, height: Int): ByteArray {
        require(picture.size == 3 * width * height && picture.isNotEmpty()) { "${picture.size} bytes, $width x $height" }
        if (crop != "pad") {
            return resized(picture, width, if (crop == "center") centre(height, width) else Box(0, 0, height, width))
        }
        val inner = inner(height, width)
        val part = resized(picture, width, Box(0, 0, height, width), inner.height, inner.width)
        val out = ByteArray(3 * rows * columns) { 127 }
        for (row in 0 until inner.height) {
            val at = 3 * ((inner.top + row) * columns + inner.left)
            part.copyInto(out, at, 3 * row * inner.width, 3 * (row + 1) * inner.width)
        }
        return out
    }

    /** The largest centred part of the model's shape, less the margin. */
    private fun centre(height: Int, width: Int): Box {
        val tight = height.toLong() * columns <= width.toLong() * rows // the height is the tight side
        val side = (if (tight) height else width).toLong()
        val whole = (if (tight) rows else columns) + margin
        val tall = max((side * rows / whole).toInt(), 1)
        val wide = max((side * columns / whole).toInt(), 1)
        return Box((height - tall + 1) / 2, (width - wide + 1) / 2, tall, wide)
    }

    /** Where all of a picture has room. */
    private fun inner(height: Int, width: Int): Box {
        val tall = height.toLong() * columns >= width.toLong() * rows
        val down = if (tall) rows else max((height.toLong() * columns / width).toInt(), 1)
        val across = if (tall) max((width.toLong() * rows / height).toInt(), 1) else columns
        return Box((rows - down) / 2, (columns - across) / 2, down, across)
    }

    private fun resized(picture: ByteArray, width: Int, box: Box, down: Int = rows, across: Int = columns): ByteArray {
        val part = ByteArray(3 * box.height * box.width)
        for (row in 0 until box.height) {
            val at = 3 * ((box.top + row) * width + box.left)
            picture.copyInto(part, 3 * row * box.width, at, at + 3 * box.width)
        }
        val narrow = ByteArray(3 * box.height * across)
        for (row in 0 until box.height) {
            blend(part, 3 * row * box.width, 3, box.width, narrow, 3 * row * across, 3, across)
        }
        val out = ByteArray(3 * down * across)
        for (column in 0 until across) {
            blend(narrow, 3 * column, 3 * across, box.height, out, 3 * column, 3 * across, down)
        }
        return out
    }

    /** A line of `from` pixels as one of `to`: both begin somewhere and have so many bytes from pixel to pixel. */
    private fun blend(
        source: ByteArray, begins: Int, step: Int, from: Int, target: ByteArray, there: Int, stride: Int, to: Int
    ) {
        for ((at, share) in shares(from, to).withIndex()) {
            for (channel in 0 until 3) {
                var sum = 1 shl (BITS - 1)
                for ((number, weight) in share.weights.withIndex()) {
                    val value = source[begins + (share.start + number) * step + channel].toInt() and 255
                    sum += weight * value
                }
                target[there + at * stride + channel] = min(max(sum shr BITS, 0), 255).toByte()
            }
        }
    }

    private val known = HashMap<Pair<Int, Int>, Array<Share>>()

    /** For each of `to` pixels, which of `from` it is made of. */
    private fun shares(from: Int, to: Int): Array<Share> = known.getOrPut(from to to) {
        val scale = from.toDouble() / to
        val wide = max(scale, 1.0)
        val reach = (if (resample == "bilinear") 1.0 else 2.0) * wide
        Array(to) { at ->
            val centre = (at + 0.5) * scale
            val start = max((centre - reach + 0.5).toInt(), 0)
            val end = min((centre + reach + 0.5).toInt(), from)
            val raw = DoubleArray(end - start) { weight((it + start - centre + 0.5) * (1.0 / wide)) }
            val sum = raw.sum()
            Share(start, IntArray(raw.size) {
                val share = if (sum == 0.0) raw[it] else raw[it] / sum
                (share * (1 shl BITS) + (if (share < 0) -0.5 else 0.5)).toInt()
            })
        }
    }

    private fun weight(distance: Double): Double {
        val x = abs(distance)
        if (resample == "bilinear") return max(1 - x, 0.0)
        return when {
            x < 1 -> ((A + 2) * x - (A + 3)) * x * x + 1
            x < 2 -> (((x - 5) * x + 8) * x - 4) * A
            else -> 0.0
        }
    }

    private companion object {
        const val A = -0.5 // of the bicubic filter
        const val BITS = 22 // of a weight behind the point
    }
}
