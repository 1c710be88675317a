// iOS, with the pod TensorFlowLiteSwift and this folder's model.tflite, vocab.txt, normalizer.bin and labels.txt in the
// app's bundle. Inputs are told apart by name: their order in the file is the converter's.
import Foundation
import TensorFlowLite

final class TextExample {
    private let interpreter: Interpreter, labels: [String], tokenizer: Tokenizer

    init(bundle: Bundle, length: Int) throws {
        func url(_ name: String, _ ending: String) -> URL { bundle.url(forResource: name, withExtension: ending)! }
        func lines(_ name: String) throws -> [String] {
            let text = try String(contentsOf: url(name, "txt"), encoding: .utf8)
            return Array(text.components(separatedBy: "\n").dropLast())
        }
        interpreter = try Interpreter(modelPath: url("model", "tflite").path)
        try interpreter.allocateTensors()
        labels = try lines("labels")
        let table = try Data(contentsOf: url("normalizer", "bin"))
        tokenizer = Tokenizer(vocabulary: try lines("vocab"), normalizer: Normalizer(table: table), length: length)
    }

    /// The best label and its score.
    func classify(_ text: String) throws -> (label: String, score: Float) {
        let inputs = tokenizer.inputs(text)
        for at in 0..<interpreter.inputTensorCount {
            let name = try interpreter.input(at: at).name  // serving_default_token_ids:0
            let values = inputs.first { name.hasSuffix("_\($0.key):0") }!.value
            try interpreter.copy(values.withUnsafeBufferPointer { Data(buffer: $0) }, toInputAt: at)
        }
        try interpreter.invoke()
        let scores = try interpreter.output(at: 0).data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let best = scores.indices.max { scores[$0] < scores[$1] }!
        return (labels[best], scores[best])
    }
}
