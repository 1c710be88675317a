// iOS, with the pod TensorFlowLiteSwift and this folder's model.tflite and labels.txt in the app's bundle.
// The picture comes cut and resized as preprocessing.json says; another resize rule moves scores a little.
import Foundation
import TensorFlowLite

final class ImageExample {
    private let interpreter: Interpreter, labels: [String]

    init(bundle: Bundle) throws {
        func url(_ name: String, _ ending: String) -> URL { bundle.url(forResource: name, withExtension: ending)! }
        interpreter = try Interpreter(modelPath: url("model", "tflite").path)
        try interpreter.allocateTensors()
        let text = try String(contentsOf: url("labels", "txt"), encoding: .utf8)
        labels = Array(text.components(separatedBy: "\n").dropLast())
    }

    /// The best label and its score, of RGB bytes, row by row, of a picture of the model's size.
    func classify(_ pixels: [UInt8]) throws -> (label: String, score: Float) {
        let whole = try interpreter.input(at: 0).dataType == .uInt8
        let input = whole ? Data(pixels) : pixels.map { Float($0) }.withUnsafeBufferPointer { Data(buffer: $0) }
        try interpreter.copy(input, toInputAt: 0)
        try interpreter.invoke()
        let output = try interpreter.output(at: 0)
        var scores: [Float]
        if whole, let steps = output.quantizationParameters {
            scores = output.data.map { (Float($0) - Float(steps.zeroPoint)) * steps.scale }
        } else {
            scores = output.data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        }
        let best = scores.indices.max { scores[$0] < scores[$1] }!
        return (labels[best], scores[best])
    }
}
