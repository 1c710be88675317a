// Android, with com.google.ai.edge.litert:litert and this folder's model.tflite, vocab.txt, normalizer.bin and labels.txt
// in the app's assets. Inputs are bound by name: their order in the file is the converter's.
package tfvertical

import android.content.Context
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * [windows] is whether preprocessing.json says `"windows": true`: all of a long text is read then, else its beginning.
 * [lengths] stand there too: `length`, or `lengths` if the file has several.
 */
class TextExample(context: Context, private val windows: Boolean, private vararg val lengths: Int) {
    private val assets = context.assets
    private fun bytes(name: String) = assets.open(name).use { it.readBytes() }
    private fun lines(name: String) = String(bytes(name), Charsets.UTF_8).removeSuffix("\n").split("\n")

    private val model = bytes("model.tflite").let {
        ByteBuffer.allocateDirect(it.size).order(ByteOrder.nativeOrder()).apply { put(it); rewind() }
    }
    private val interpreter = Interpreter(model, Interpreter.Options().setNumThreads(2))
    private val labels = lines("labels.txt")
    private val tokenizer = Tokenizer(lines("vocab.txt"), Normalizer(bytes("normalizer.bin")), lengths.toList())

    /** The best label and its score. */
    fun classify(text: String): Pair<String, Float> {
        val read = if (windows) tokenizer.inputsInWindows(text) else listOf(tokenizer.inputs(text))
        val said = read.map { scores(it) }
        val scores = labels.indices.map { label -> said.map { it[label] }.average().toFloat() }
        val best = scores.indices.reduce { most, at -> if (scores[at] > scores[most]) at else most }
        return labels[best] to scores[best]
    }

    private fun scores(made: Map<String, IntArray>): FloatArray {
        val length = made.getValue("token_ids").size
        val signature = "tokens_$length".takeIf { it in interpreter.signatureKeys } ?: "serving_default"
        val wanted = interpreter.getSignatureInputs(signature).toSet()
        val inputs = made.filterKeys { it in wanted }.mapValues { arrayOf(it.value) as Any }
        val scores = arrayOf(FloatArray(labels.size))
        interpreter.runSignature(inputs, mapOf<String, Any>("scores" to scores), signature)
        return scores[0]
    }
}
