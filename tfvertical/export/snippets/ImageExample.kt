// Android, with com.google.ai.edge.litert:litert and this folder's model.tflite and labels.txt in the app's assets.
// The picture comes cut and resized as preprocessing.json says; another resize rule moves scores a little.
package tfvertical

import android.content.Context
import android.graphics.Bitmap
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer
import java.nio.ByteOrder

class ImageExample(context: Context) {
    private val assets = context.assets
    private fun bytes(name: String) = assets.open(name).use { it.readBytes() }

    private val model = bytes("model.tflite").let {
        ByteBuffer.allocateDirect(it.size).order(ByteOrder.nativeOrder()).apply { put(it); rewind() }
    }
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(2))
    private val labels = String(bytes("labels.txt"), Charsets.UTF_8).removeSuffix("\n").split("\n")

    /** The best label and its score, of a picture of the model's size. */
    fun classify(picture: Bitmap): Pair<String, Float> {
        val pixels = IntArray(picture.width * picture.height)
        picture.getPixels(pixels, 0, picture.width, 0, 0, picture.width, picture.height)
        val whole = interpreter.getInputTensor(0).dataType() == DataType.UINT8
        val input = ByteBuffer.allocateDirect(pixels.size * 3 * (if (whole) 1 else 4)).order(ByteOrder.nativeOrder())
        for (pixel in pixels) for (shift in intArrayOf(16, 8, 0)) {
            val value = pixel shr shift and 255
            if (whole) input.put(value.toByte()) else input.putFloat(value.toFloat())
        }
        val output = interpreter.getOutputTensor(0)
        val raw = ByteBuffer.allocateDirect(output.numBytes()).order(ByteOrder.nativeOrder())
        interpreter.run(input.rewind(), raw)
        raw.rewind()
        val steps = output.quantizationParams()
        val scores = FloatArray(labels.size) {
            if (whole) (raw.get().toInt().and(255) - steps.zeroPoint) * steps.scale else raw.getFloat()
        }
        val best = scores.indices.reduce { most, at -> if (scores[at] > scores[most]) at else most }
        return labels[best] to scores[best]
    }
}
