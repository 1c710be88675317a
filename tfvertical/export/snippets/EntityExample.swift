// iOS, with Entities.swift, Words.swift, Model.swift and what it names: a tagger.
import Foundation

final class EntityExample {
    private let tagger: Tagger

    init(bundle: Bundle) throws {
        let model = try Model(bundle: bundle), tags = try model.export.lines("labels")
        tagger = Tagger(
            tokenizer: model.tokenizer, tags: tags, every: model.described["pieces"] as? String == "all",
            steps: (model.described["steps"] as? [Any])?.map(Export.floats)
        ) { try model.places($0, tags.count) }
    }

    /// What a text of any length names.
    func find(_ text: String) throws -> [Entity] { try tagger.find(text) }
}
