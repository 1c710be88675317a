// Android, with com.google.ai.edge.litert:litert, Pixels.kt, Export.kt, Said.kt, and this folder's model.tflite, labels.txt
// and preprocessing.json in the app's assets. The picture stands upright: Android does not turn it as its EXIF says.
package tfvertical

import android.content.Context
import android.graphics.Bitmap
import org.tensorflow.lite.DataType
import java.nio.ByteBuffer
import java.nio.ByteOrder

class ImageExample(context: Context) {
    private val export = Export(context)
    private val interpreter = export.interpreter
    private val rule = export.described.getJSONObject("config")
    private val pixels = rule.getJSONArray("size").let {
        Pixels(
            it.getInt(0), it.getInt(1), rule.getString("crop"), rule.getInt("margin"), rule.getString("resample")
        )
    }

    /** The best label and its score. Of several labels ask `labels` in the place of `label`, of numbers `numbers`. */
    fun classify(picture: Bitmap): Pair<String, Float> = export.label(scores(picture))

    /** Of a picture of any size. */
    fun scores(picture: Bitmap): FloatArray {
        val colours = IntArray(picture.width * picture.height)
        picture.getPixels(colours, 0, picture.width, 0, 0, picture.width, picture.height)
        val bytes = ByteArray(3 * colours.size) { (colours[it / 3] shr (16 - 8 * (it % 3))).toByte() }
        val made = pixels.prepare(bytes, picture.width, picture.height)
        val whole = interpreter.getInputTensor(0).dataType() == DataType.UINT8
        val input = ByteBuffer.allocateDirect(made.size * (if (whole) 1 else 4)).order(ByteOrder.nativeOrder())
        for (value in made) if (whole) input.put(value) else input.putFloat((value.toInt() and 255).toFloat())
        val output = interpreter.getOutputTensor(0)
        val raw = ByteBuffer.allocateDirect(output.numBytes()).order(ByteOrder.nativeOrder())
        interpreter.run(input.rewind(), raw)
        raw.rewind()
        val steps = output.quantizationParams()
        return FloatArray(export.outputs) {
            if (whole) (raw.get().toInt().and(255) - steps.zeroPoint) * steps.scale else raw.getFloat()
        }
    }
}
