// Entities in texts of any length: copy this file into the app beside Tokenizer.swift and Words.swift.
// Plain Swift; the same steps as tfvertical.runtime.Tagger, which golden.jsonl lets you check: its places count code
// points, here text.unicodeScalars.distance(from: text.startIndex, to: range.lowerBound).
import Foundation

/// Something that a text names; `score` is the mean of its words' tags.
public struct Entity {
    public let text: String, label: String, range: Range<String.Index>, score: Float
}

/// Finds what a text names.
///
/// `tags` are the lines of labels.txt, `every` is whether preprocessing.json says `"pieces": "all"`, `steps` are its
/// `steps` where it has them, and `run` takes a model's inputs by name to its `scores`, a row for each position. For N
/// `token_ids` it takes the signature `tokens_N` where the file has it, else `serving_default`, resized to `[1, N]`; only
/// the inputs that the signature has are given.
public struct Tagger {
    private let tokenizer: Tokenizer, tags: [String], every: Bool, steps: [[Float]]?
    private let run: ([String: [Int32]]) throws -> [[Float]]
    private static let smallest = Float.leastNormalMagnitude

    public init(
        tokenizer: Tokenizer, tags: [String], every: Bool = false, steps: [[Float]]? = nil,
        run: @escaping ([String: [Int32]]) throws -> [[Float]]
    ) {
        self.tokenizer = tokenizer
        self.tags = tags
        self.every = every
        self.steps = steps
        self.run = run
    }

    public func find(_ text: String) throws -> [Entity] {
        let places = words(text)
        let alone = try self.scores(places.map { String(text.unicodeScalars[$0]) })
        let best = decode(alone)
        let scores = steps == nil || places.isEmpty ? alone : chained(alone, steps!)
        var found: [Entity] = [], at = 0
        while at < places.count {
            let start = at
            at += 1
            if best[start] % 2 == 0 { continue }  // outside: B- is odd, I- follows it
            while at < places.count && best[at] == best[start] + 1 { at += 1 }
            let sum = (start..<at).reduce(Float(0)) { $0 + scores[$1][best[$1]] }
            let range = places[start].lowerBound..<places[at - 1].upperBound
            let label = String(tags[best[start]].unicodeScalars.dropFirst(2))
            found.append(
                Entity(
                    text: String(text.unicodeScalars[range]), label: label, range: range,
                    score: sum / Float(at - start)))
        }
        return found
    }

    /// Probabilities of the tags of each word by itself, read in windows.
    private func scores(_ words: [String]) throws -> [[Float]] {
        let cut = words.map { Array(tokenizer.pieces($0).prefix(tokenizer.room)) }
        var total = words.map { _ in [Float](repeating: 0, count: tags.count) }
        var count = [Int](repeating: 0, count: words.count)
        for window in windows(cut.map { $0.count }, room: tokenizer.room) {
            let made = try run(tokenizer.inputs(pieces: cut[window.first..<window.last].flatMap { $0 }))
            var position = 1  // behind [CLS]
            for word in window.first..<window.last {
                for piece in cut[word].indices {
                    if window.own.contains(word) && (every || piece == 0) {
                        for tag in tags.indices { total[word][tag] += made[position][tag] }
                        count[word] += 1
                    }
                    position += 1
                }
            }
        }
        return zip(total, count).map { sums, times in
            sums.map { times > 0 ? $0 / Float(times) : 1 / Float(tags.count) }
        }
    }

    /// What the step from a tag to another is worth; `tags.count` stands for the beginning, one more for the end.
    private func step(_ from: Int, _ to: Int) -> Float { steps?[from][to] ?? 0 }

    /// The most probable tags that make sense: Viterbi's search, in which I- follows B- and I- of its own type only.
    private func decode(_ scores: [[Float]]) -> [Int] {
        var came: [[Int]] = [], total = [Float](repeating: 0, count: tags.count)
        for (word, row) in scores.enumerated() {
            let before = total
            var from = [Int](repeating: 0, count: tags.count)
            for tag in tags.indices {
                let inside = tag > 0 && tag % 2 == 0
                var best = inside ? tag - 1 : 0
                for each in inside ? tag..<tag + 1 : 1..<tags.count
                where before[each] + step(each, tag) > before[best] + step(best, tag) {
                    best = each
                }
                from[tag] = best
                let own = Float(log(Double(max(row[tag], Tagger.smallest))))
                if word > 0 {
                    total[tag] = own + (before[best] + step(best, tag))
                } else {
                    total[tag] = inside ? -Float.infinity : own + step(tags.count, tag)
                }
            }
            came.append(from)
        }
        var now = 0
        for tag in tags.indices
        where total[tag] + step(tags.count + 1, tag) > total[now] + step(tags.count + 1, now) {
            now = tag
        }
        var found = [Int](repeating: 0, count: scores.count)
        for word in scores.indices.reversed() {
            found[word] = now
            now = came[word][now]
        }
        return found
    }

    /// Each tag's probability given all words: the forward-backward algorithm of a conditional random field.
    private func chained(_ scores: [[Float]], _ steps: [[Float]]) -> [[Float]] {
        func most(_ rows: [[Float]]) -> Float { rows.flatMap { $0 }.max()! }
        func even(_ row: [Double]) -> [Double] {
            let sum = row.reduce(0, +)
            return row.map { $0 / sum }
        }
        func powers(_ row: [Float], _ most: Float) -> [Double] { row.map { exp(Double($0 - most)) } }
        let count = tags.count, rows = Array(steps.prefix(count))
        let between = rows.map { powers($0, most(rows)) }
        let first = powers(steps[count], most([steps[count]]))
        var backward = powers(steps[count + 1], most([steps[count + 1]]))
        let here = scores.map { row in row.map { Double(max($0, Tagger.smallest)) } }
        var forward: [[Double]] = []
        for row in here {
            let before = forward.last
            let came = (0..<count).map { (tag: Int) -> Double in
                guard let before = before else { return first[tag] }
                var sum = 0.0
                for last in 0..<count { sum += before[last] * between[last][tag] }
                return sum
            }
            forward.append(even((0..<count).map { row[$0] * came[$0] }))
        }
        var found = scores
        for word in here.indices.reversed() {
            found[word] = even((0..<count).map { forward[word][$0] * backward[$0] }).map { Float($0) }
            let behind = (0..<count).map { here[word][$0] * backward[$0] }
            let before = (0..<count).map { (tag: Int) -> Double in
                var sum = 0.0
                for next in 0..<count { sum += between[tag][next] * behind[next] }
                return sum
            }
            backward = even(before)
        }
        return found
    }
}
