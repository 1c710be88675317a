// iOS, with the pod TensorFlowLiteSwift, Pixels.swift, and this folder's model.tflite, labels.txt and
// preprocessing.json in the app's bundle. The picture stands upright, turned as its EXIF says.
import Foundation
import TensorFlowLite

final class ImageExample {
    private let interpreter: Interpreter, labels: [String], pixels: Pixels

    init(bundle: Bundle) throws {
        func url(_ name: String, _ ending: String) -> URL { bundle.url(forResource: name, withExtension: ending)! }
        interpreter = try Interpreter(modelPath: url("model", "tflite").path)
        try interpreter.allocateTensors()
        let text = try String(contentsOf: url("labels", "txt"), encoding: .utf8)
        labels = Array(text.components(separatedBy: "\n").dropLast())
        let told = try JSONSerialization.jsonObject(with: Data(contentsOf: url("preprocessing", "json")))
        let rule = (told as! [String: Any])["config"] as! [String: Any], size = rule["size"] as! [Int]
        pixels = Pixels(
            rows: size[0], columns: size[1], crop: rule["crop"] as! String, margin: rule["margin"] as! Int,
            resample: rule["resample"] as! String)
    }

    /// The best label and its score, of a picture's RGB bytes, row by row.
    func classify(_ picture: [UInt8], width: Int, height: Int) throws -> (label: String, score: Float) {
        let made = pixels.prepare(picture, width: width, height: height)
        let whole = try interpreter.input(at: 0).dataType == .uInt8
        let input = whole ? Data(made) : made.map { Float($0) }.withUnsafeBufferPointer { Data(buffer: $0) }
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
