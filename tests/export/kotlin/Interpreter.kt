package org.tensorflow.lite

import java.nio.ByteBuffer

enum class DataType { FLOAT32, UINT8 }

class Quantization(val scale: Float, val zeroPoint: Int)

abstract class Tensor {
    abstract fun dataType(): DataType
    abstract fun numBytes(): Int
    abstract fun quantizationParams(): Quantization
}

open class Interpreter(val model: ByteBuffer, val options: Options) {
    class Options {
        fun setNumThreads(count: Int): Options = apply { threads = count }
        private var threads = 1
    }

    open val signatureKeys: Array<String> get() = throw NotImplementedError()
    open fun getSignatureInputs(signature: String): Array<String> = throw NotImplementedError(signature)
    open fun getInputTensor(at: Int): Tensor = throw NotImplementedError("$at")
    open fun getOutputTensor(at: Int): Tensor = throw NotImplementedError("$at")
    open fun run(input: Any, output: Any): Unit = throw NotImplementedError("$input $output")
    open fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signature: String): Unit =
        throw NotImplementedError("$inputs $outputs $signature")
}
