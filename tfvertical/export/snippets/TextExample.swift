// iOS, with the pod TensorFlowLiteSwift and this folder's model.tflite, vocab.txt, normalizer.bin and labels.txt in the
// app's bundle. Inputs are told apart by name: their order in the file is the converter's.
import Foundation
import TensorFlowLite

final class TextExample {
    private let interpreter: Interpreter, labels: [String], tokenizer: Tokenizer, windows: Bool

    /// `windows` is whether preprocessing.json says `"windows": true`: all of a long text is read then, else its
    /// beginning. `lengths` stand there too: `length`, or `lengths` if the file has several.
    init(bundle: Bundle, windows: Bool, lengths: [Int]) throws {
        func url(_ name: String, _ ending: String) -> URL { bundle.url(forResource: name, withExtension: ending)! }
        func lines(_ name: String) throws -> [String] {
            let text = try String(contentsOf: url(name, "txt"), encoding: .utf8)
            return Array(text.components(separatedBy: "\n").dropLast())
        }
        self.windows = windows
        interpreter = try Interpreter(modelPath: url("model", "tflite").path)
        labels = try lines("labels")
        let table = try Data(contentsOf: url("normalizer", "bin"))
        tokenizer = Tokenizer(vocabulary: try lines("vocab"), normalizer: Normalizer(table: table), lengths: lengths)
    }

    /// The best label and its score.
    func classify(_ text: String) throws -> (label: String, score: Float) {
        let read = windows ? tokenizer.inputsInWindows(text) : [tokenizer.inputs(text)]
        var scores = [Float](repeating: 0, count: labels.count)
        for inputs in read {
            let said = try self.scores(inputs)
            for at in scores.indices { scores[at] += said[at] / Float(read.count) }
        }
        let best = scores.indices.max { scores[$0] < scores[$1] }!
        return (labels[best], scores[best])
    }

    private func scores(_ inputs: [String: [Int32]]) throws -> [Float] {
        let length = inputs["token_ids"]!.count, key = "tokens_\(length)"
        let runner = try interpreter.signatureRunner(
            with: interpreter.signatureKeys.contains(key) ? key : "serving_default")
        let wanted = inputs.filter { runner.inputs.contains($0.key) }
        for name in wanted.keys { try runner.resizeInput(named: name, toShape: [1, length]) }
        try runner.invoke(with: wanted.mapValues { $0.withUnsafeBufferPointer { Data(buffer: $0) } })
        let found = try runner.output(named: "scores").data
        return found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}
