// iOS, with Model.swift and what it names: a model that says something of two texts.
import Foundation

final class PairExample {
    private let model: Model, apart: Bool

    init(bundle: Bundle) throws {
        model = try Model(bundle: bundle)
        apart = model.described["encoder"] as? String == "bi"
    }

    /// The best label and its score. A model of several labels has `labels` in the place of `label`, one of numbers
    /// `numbers`.
    func classify(_ one: String, _ other: String) throws -> (label: String, score: Float) {
        model.export.label(try scores(one, other))
    }

    func scores(_ one: String, _ other: String) throws -> [Float] {
        try model.scores([apart ? model.tokenizer.inputsApart(one, other) : model.tokenizer.inputs(one, other)])
    }
}
