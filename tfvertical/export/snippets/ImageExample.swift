// iOS, with the pod TensorFlowLiteSwift, Pixels.swift, Export.swift, Said.swift, and this folder's model.tflite,
// labels.txt and preprocessing.json in the app's bundle. The picture stands upright, turned as its EXIF says.
import Foundation
import TensorFlowLite

final class ImageExample {
    private let export: Export, pixels: Pixels

    init(bundle: Bundle) throws {
        export = try Export(bundle: bundle)
        try export.interpreter.allocateTensors()
        let rule = export.described["config"] as! [String: Any], size = rule["size"] as! [Int]
        pixels = Pixels(
            rows: size[0], columns: size[1], crop: rule["crop"] as! String, margin: rule["margin"] as! Int,
            resample: rule["resample"] as! String)
    }

    /// The best label and its score. A model of several labels has `labels` in the place of `label`, one of numbers
    /// `numbers`.
    func classify(_ picture: [UInt8], width: Int, height: Int) throws -> (label: String, score: Float) {
        export.label(try scores(picture, width: width, height: height))
    }

    /// Of a picture's RGB bytes, row by row.
    func scores(_ picture: [UInt8], width: Int, height: Int) throws -> [Float] {
        let made = pixels.prepare(picture, width: width, height: height), interpreter = export.interpreter
        let whole = try interpreter.input(at: 0).dataType == .uInt8
        let input = whole ? Data(made) : made.map { Float($0) }.withUnsafeBufferPointer { Data(buffer: $0) }
        try interpreter.copy(input, toInputAt: 0)
        try interpreter.invoke()
        let output = try interpreter.output(at: 0)
        if whole, let steps = output.quantizationParameters {
            return output.data.map { (Float($0) - Float(steps.zeroPoint)) * steps.scale }
        }
        return output.data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
}
