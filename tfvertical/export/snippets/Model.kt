// Android, with com.google.ai.edge.litert:litert and this folder's model.tflite, vocab.txt, normalizer.bin and
// preprocessing.json in the app's assets: a model that says something of each position of a text.
package tfvertical

import android.content.Context
import org.json.JSONObject
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer
import java.nio.ByteOrder

class Model(context: Context) {
    private val assets = context.assets
    private fun bytes(name: String) = assets.open(name).use { it.readBytes() }

    /** The lines of a file. */
    fun lines(name: String) = String(bytes(name), Charsets.UTF_8).removeSuffix("\n").split("\n")

    /** What preprocessing.json says. */
    val described = JSONObject(String(bytes("preprocessing.json"), Charsets.UTF_8))
    private val lengths =
        described.optJSONArray("lengths")?.let { all -> (0 until all.length()).map { all.getInt(it) } }
            ?: listOf(described.getInt("length"))
    val tokenizer = Tokenizer(lines("vocab.txt"), Normalizer(bytes("normalizer.bin")), lengths)

    private val content = bytes("model.tflite").let {
        ByteBuffer.allocateDirect(it.size).order(ByteOrder.nativeOrder()).apply { put(it); rewind() }
    }
    private val interpreter = Interpreter(content, Interpreter.Options().setNumThreads(2))

    /** So many scores for each position of a text. */
    fun scores(made: Map<String, IntArray>, outputs: Int): Array<FloatArray> {
        val length = made.getValue("token_ids").size
        val signature = "tokens_$length".takeIf { it in interpreter.signatureKeys } ?: "serving_default"
        val wanted = interpreter.getSignatureInputs(signature).toSet()
        val inputs = made.filterKeys { it in wanted }.mapValues { arrayOf(it.value) as Any }
        val scores = arrayOf(Array(length) { FloatArray(outputs) })
        interpreter.runSignature(inputs, mapOf<String, Any>("scores" to scores), signature)
        return scores[0]
    }
}
