// iOS, with Answers.swift, Words.swift, Model.swift and what it names: a model that finds answers.
import Foundation

final class AnswerExample {
    private let answerer: Answerer

    init(bundle: Bundle) throws {
        let model = try Model(bundle: bundle), codec = model.described["codec"] as! [String: Any]
        answerer = Answerer(
            tokenizer: model.tokenizer, maxQuestion: model.described["max_question"] as! Int,
            mostWords: codec["most_words"] as! Int, threshold: codec["threshold"] as? Double
        ) { try model.places($0, 2) }
    }

    /// The passage of a text of any length that answers the question.
    func answer(_ question: String, in context: String) throws -> Answer { try answerer.answer(question, in: context) }
}
