// Android: what stands beside model.tflite in the app's assets.
package tfvertical

import android.content.Context
import org.json.JSONArray
import org.json.JSONObject
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer
import java.nio.ByteOrder

class Export(context: Context) {
    private val assets = context.assets
    fun bytes(name: String) = assets.open(name).use { it.readBytes() }

    /** The lines of a file. */
    fun lines(name: String) = String(bytes(name), Charsets.UTF_8).removeSuffix("\n").split("\n")

    /** What preprocessing.json says. */
    val described = JSONObject(String(bytes("preprocessing.json"), Charsets.UTF_8))
    private val codec: JSONObject by lazy { described.getJSONObject("codec") }
    private val labels by lazy { lines("labels.txt") }

    private val content = bytes("model.tflite").let {
        ByteBuffer.allocateDirect(it.size).order(ByteOrder.nativeOrder()).apply { put(it); rewind() }
    }
    val interpreter = Interpreter(content, Interpreter.Options().setNumThreads(2))

    /** How many scores an item has. */
    val outputs get() = labels.size

    /** Of a model that gives one label: the best, and its score. */
    fun label(scores: FloatArray): Pair<String, Float> = best(labels, scores)

    /** Of a model that gives several: those that apply, the likeliest first. */
    fun labels(scores: FloatArray): List<String> = applying(labels, floats("thresholds"), scores)

    /** Of a model that gives numbers. */
    fun numbers(scores: FloatArray): List<Quantity> =
        quantities(strings("names"), strings("units"), !codec.isNull("interval"), floats("levels"), scores)

    private fun strings(name: String) = codec.getJSONArray(name).all { getString(it) }
    private fun floats(name: String) = codec.getJSONArray(name).all { getDouble(it).toFloat() }.toFloatArray()
}

internal fun <T> JSONArray.all(get: JSONArray.(Int) -> T): List<T> = (0 until length()).map { get(it) }
