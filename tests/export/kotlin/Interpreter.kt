package org.tensorflow.lite

import java.nio.ByteBuffer

enum class DataType { FLOAT32, UINT8 }

class Quantization(val scale: Float, val zeroPoint: Int)

abstract class Tensor {
    abstract fun dataType(): DataType
    abstract fun numBytes(): Int
    abstract fun quantizationParams(): Quantization
}

/** Answers what [scores] says of token ids, so many numbers. */
open class Interpreter(val model: ByteBuffer, val options: Options) {
    class Options {
        fun setNumThreads(count: Int): Options = apply { threads = count }
        private var threads = 1
    }

    companion object {
        var scores: (IntArray, Int) -> FloatArray = { ids, _ -> throw NotImplementedError("$ids") }
    }

    open val signatureKeys: Array<String> get() = arrayOf("serving_default")
    open fun getSignatureInputs(signature: String): Array<String> =
        arrayOf("token_ids", "first_token_ids", "second_token_ids")
    open fun getInputTensor(at: Int): Tensor = throw NotImplementedError("$at")
    open fun getOutputTensor(at: Int): Tensor = throw NotImplementedError("$at")
    open fun run(input: Any, output: Any): Unit = throw NotImplementedError("$input $output")
    open fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signature: String) {
        val every = inputs.toSortedMap().values.map { (it as Array<*>)[0] as IntArray }
        val ids = every.reduce { one, other -> one + other }
        val found = (outputs.getValue("scores") as Array<*>)[0]
        if (found is FloatArray) scores(ids, found.size).copyInto(found)
        else for ((at, row) in (found as Array<*>).withIndex()) {
            scores(ids.copyOfRange(at, ids.size), (row as FloatArray).size).copyInto(row)
        }
    }
}
