// The passage of a text that answers a question: copy this file into the app beside Tokenizer.swift and Words.swift.
// Plain Swift; the same steps as tfvertical.runtime.Answerer, which golden.jsonl lets you check: its places count code
// points, here text.unicodeScalars.distance(from: text.startIndex, to: range.lowerBound).
import Foundation

/// What a text says to a question; `range` is nil, and `text` empty, where it holds no answer.
public struct Answer {
    public let text: String, range: Range<String.Index>?, score: Float
}

/// Answers questions.
///
/// `maxQuestion`, `mostWords` and `threshold` stand in preprocessing.json as `max_question`, `codec.most_words` and
/// `codec.threshold` (nil always answers), and `run` takes a model's inputs by name to its `scores`, a row for each
/// position. For N `token_ids` it takes the signature `tokens_N` where the file has it, else `serving_default`, resized to
/// `[1, N]`; only the inputs that the signature has are given.
public struct Answerer {
    private let tokenizer: Tokenizer, maxQuestion: Int, mostWords: Int, threshold: Double?
    private let run: ([String: [Int32]]) throws -> [[Float]]

    public init(
        tokenizer: Tokenizer, maxQuestion: Int, mostWords: Int, threshold: Double?,
        run: @escaping ([String: [Int32]]) throws -> [[Float]]
    ) {
        self.tokenizer = tokenizer
        self.maxQuestion = maxQuestion
        self.mostWords = mostWords
        self.threshold = threshold
        self.run = run
    }

    public func answer(_ question: String, in context: String) throws -> Answer {
        let places = words(context)
        let scores = try self.scores(question, places.map { String(context.unicodeScalars[$0]) })
        var best = -1e4, place: (first: Int, last: Int)? = nil
        for more in 0..<min(mostWords, places.count) {
            for first in 0..<(places.count - more) {
                let together = Double(scores[first][0]) + Double(scores[first + more][1])
                if together > best {
                    best = together
                    place = (first, first + more)
                }
            }
        }
        let clipped: Double = min(max(best, -60.0), 60.0)
        let odds: Double = exp(-clipped)
        let sure = Float(1.0 / (1.0 + odds))
        guard let found = place, threshold.map({ best >= $0 }) ?? true else {
            return Answer(text: "", range: nil, score: 1 - sure)
        }
        let range = places[found.first].lowerBound..<places[found.last].upperBound
        return Answer(text: String(context.unicodeScalars[range]), range: range, score: sure)
    }

    /// How much likelier each word begins or ends the answer than that there is none.
    private func scores(_ question: String, _ words: [String]) throws -> [[Float]] {
        let asked = Array(tokenizer.pieces(question).prefix(maxQuestion))
        let cut = words.map { Array(tokenizer.pieces($0).prefix(tokenizer.room - 1 - maxQuestion)) }
        var found = words.map { _ in [Float(-1e4), Float(-1e4)] }
        for window in windows(cut.map { $0.count }, room: tokenizer.room - 1 - asked.count) {
            let told = try run(tokenizer.inputs(pieces: asked, cut[window.first..<window.last].flatMap { $0 }))
            var position = asked.count + 2  // behind [CLS], the question and [SEP]
            for word in window.first..<window.last {
                if window.own.contains(word) && !cut[word].isEmpty { found[word] = Array(told[position][0..<2]) }
                position += cut[word].count
            }
        }
        return found
    }
}
