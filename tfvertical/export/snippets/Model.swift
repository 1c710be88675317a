// iOS, with the pod TensorFlowLiteSwift, Export.swift, Said.swift, Tokenizer.swift, and this folder's model.tflite,
// vocab.txt, normalizer.bin, labels.txt and preprocessing.json in the app's bundle: a model of texts. Inputs are told
// apart by name: their order in the file is the converter's.
import Foundation
import TensorFlowLite

final class Model {
    let export: Export, tokenizer: Tokenizer
    var described: [String: Any] { export.described }

    init(bundle: Bundle) throws {
        export = try Export(bundle: bundle)
        let lengths = export.described["lengths"] as? [Int] ?? [export.described["length"] as! Int]
        let table = try export.bytes("normalizer", "bin")
        tokenizer = Tokenizer(
            vocabulary: try export.lines("vocab"), normalizer: Normalizer(table: table), lengths: lengths)
    }

    /// Of each position of a text so many scores.
    func places(_ made: [String: [Int32]], _ outputs: Int) throws -> [[Float]] {
        let all = try run(made)
        return stride(from: 0, to: all.count, by: outputs).map { Array(all[$0..<($0 + outputs)]) }
    }

    /// The scores of what was read in one or several parts, which are averaged.
    func scores(_ parts: [[String: [Int32]]]) throws -> [Float] {
        let said = try parts.map { try run($0) }
        return said[0].indices.map { at in said.reduce(0) { $0 + $1[at] } / Float(said.count) }
    }

    private func run(_ made: [String: [Int32]]) throws -> [Float] {
        let length = made.values.first!.count, key = "tokens_\(length)"
        let signature = export.interpreter.signatureKeys.contains(key) ? key : "serving_default"
        let runner = try export.interpreter.signatureRunner(with: signature)
        let wanted = made.filter { runner.inputs.contains($0.key) }
        for name in wanted.keys { try runner.resizeInput(named: name, toShape: [1, length]) }
        try runner.invoke(with: wanted.mapValues { $0.withUnsafeBufferPointer { Data(buffer: $0) } })
        let found = try runner.output(named: "scores").data
        return found.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}
