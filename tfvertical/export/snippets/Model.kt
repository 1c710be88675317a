// Android, with com.google.ai.edge.litert:litert, Export.kt, Said.kt, Tokenizer.kt, and this folder's model.tflite,
// vocab.txt, normalizer.bin, labels.txt and preprocessing.json in the app's assets: a model of texts. Inputs are bound by
// name: their order in the file is the converter's.
package tfvertical

import android.content.Context

class Model(context: Context) {
    val export = Export(context)
    val described get() = export.described
    val tokenizer = Tokenizer(
        export.lines("vocab.txt"),
        Normalizer(export.bytes("normalizer.bin")),
        described.optJSONArray("lengths")?.all { getInt(it) } ?: listOf(described.getInt("length"))
    )

    /** Of each position of a text so many scores. */
    fun places(made: Map<String, IntArray>, outputs: Int): Array<FloatArray> {
        val scores = arrayOf(Array(made.values.first().size) { FloatArray(outputs) })
        run(made, scores)
        return scores[0]
    }

    /** The scores of what was read in one or several parts, which are averaged. */
    fun scores(parts: List<Map<String, IntArray>>): FloatArray {
        val said = parts.map { made -> arrayOf(FloatArray(export.outputs)).also { run(made, it) }[0] }
        return FloatArray(export.outputs) { at -> said.map { it[at] }.average().toFloat() }
    }

    private fun run(made: Map<String, IntArray>, scores: Any) {
        val interpreter = export.interpreter
        val length = made.values.first().size
        val signature = "tokens_$length".takeIf { it in interpreter.signatureKeys } ?: "serving_default"
        val wanted = interpreter.getSignatureInputs(signature).toSet()
        val inputs = made.filterKeys { it in wanted }.mapValues { arrayOf(it.value) as Any }
        interpreter.runSignature(inputs, mapOf("scores" to scores), signature)
    }
}
