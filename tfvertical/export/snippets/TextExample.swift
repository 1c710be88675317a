// iOS, with Model.swift and what it names: a model that says something of a whole text.
import Foundation

final class TextExample {
    private let model: Model, windows: Bool

    init(bundle: Bundle) throws {
        model = try Model(bundle: bundle)
        windows = model.described["windows"] as? Bool ?? false  // all of a long text is read then, else its beginning
    }

    /// The best label and its score. A model of several labels has `labels` in the place of `label`, one of numbers
    /// `numbers`.
    func classify(_ text: String) throws -> (label: String, score: Float) { model.export.label(try scores(text)) }

    func scores(_ text: String) throws -> [Float] {
        try model.scores(windows ? model.tokenizer.inputsInWindows(text) : [model.tokenizer.inputs(text)])
    }
}
