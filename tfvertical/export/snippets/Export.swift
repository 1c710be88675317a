// iOS: what stands beside model.tflite in the app's bundle.
import Foundation
import TensorFlowLite

final class Export {
    private let bundle: Bundle, codec: [String: Any], labels: [String]
    let described: [String: Any], interpreter: Interpreter

    init(bundle: Bundle) throws {
        self.bundle = bundle
        let told = try JSONSerialization.jsonObject(with: Export.bytes("preprocessing", "json", bundle))
        described = told as! [String: Any]
        codec = described["codec"] as? [String: Any] ?? [:]
        labels = try Export.lines("labels", bundle)
        interpreter = try Interpreter(modelPath: Export.url("model", "tflite", bundle).path)
    }

    /// The content of a file.
    func bytes(_ name: String, _ ending: String) throws -> Data { try Export.bytes(name, ending, bundle) }

    /// The lines of a text file.
    func lines(_ name: String) throws -> [String] { try Export.lines(name, bundle) }

    /// How many scores an item has.
    var outputs: Int { labels.count }

    /// Of a model that gives one label: the best, and its score.
    func label(_ scores: [Float]) -> (label: String, score: Float) { best(labels, scores) }

    /// Of a model that gives several: those that apply, the likeliest first.
    func labels(_ scores: [Float]) -> [String] {
        applying(labels, thresholds: Export.floats(codec["thresholds"]), scores)
    }

    /// Of a model that gives numbers.
    func numbers(_ scores: [Float]) -> [Quantity] {
        quantities(
            names: codec["names"] as! [String], units: codec["units"] as! [String], bounds: codec["interval"] is NSNumber,
            levels: Export.floats(codec["levels"]), scores)
    }

    /// Numbers of JSON.
    static func floats(_ row: Any?) -> [Float] { (row as! [NSNumber]).map { $0.floatValue } }

    private static func url(_ name: String, _ ending: String, _ bundle: Bundle) -> URL {
        bundle.url(forResource: name, withExtension: ending)!
    }

    private static func bytes(_ name: String, _ ending: String, _ bundle: Bundle) throws -> Data {
        try Data(contentsOf: url(name, ending, bundle))
    }

    private static func lines(_ name: String, _ bundle: Bundle) throws -> [String] {
        let text = try String(contentsOf: url(name, "txt", bundle), encoding: .utf8)
        return Array(text.components(separatedBy: "\n").dropLast())
    }
}
