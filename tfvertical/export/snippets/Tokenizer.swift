// Texts to the ids that the model was trained on: copy this file into the app, vocab.txt and normalizer.bin beside it.
// Plain Swift; the same steps as tfvertical's own, which golden.jsonl lets you check.
import Foundation

/// What stands in the place of each code point; `table` is the content of normalizer.bin.
public struct Normalizer {
    private let pages: [Int32], codes: [Int32], extras: [Int32], width: Int

    public init(table: Data) {
        let bytes = [UInt8](table)
        func number(_ at: Int) -> Int32 {
            var value: UInt32 = 0
            for place in 0..<4 { value |= UInt32(bytes[4 * at + place]) << UInt32(8 * place) }
            return Int32(bitPattern: value)
        }
        precondition(number(0) == 0x314E_5654, "this is no normalizer.bin of version 1")
        let sizes = (1...3).map { Int(number($0)) }
        width = Int(number(4))
        var at = 5
        func next(_ count: Int) -> [Int32] {
            defer { at += count }
            return (0..<count).map { number(at + $0) }
        }
        pages = next(sizes[0])
        codes = next(sizes[1])
        extras = next(sizes[2])
    }

    /// The text as words between single spaces. MediaPipe's classify wants it so, too.
    public func normalize(_ text: String) -> String {
        var mapped = String.UnicodeScalarView()
        func append(_ point: Int32) {
            if let scalar = Unicode.Scalar(UInt32(bitPattern: point)) { mapped.append(scalar) }
        }
        for scalar in text.unicodeScalars {
            let point = Int32(bitPattern: scalar.value)
            let page = Int(pages[Int(point >> 8)]), within = Int(point & 255)
            let code = codes[page * 256 + within]
            let value = code >> 2
            switch code & 3 {
            case 0: append(point + value)
            case 2: [32, point + value, 32].forEach(append)
            case 3:
                for place in Int(value) * width..<(Int(value) + 1) * width {
                    if extras[place] < 0 { break }
                    append(extras[place])
                }
            default: break
            }
        }
        return Normalizer.words(String(mapped)).map { String($0) }.joined(separator: " ")
    }

    /// Words between spaces, told apart by scalars: Swift's characters may join a space and a mark.
    static func words(_ text: String) -> [Substring.UnicodeScalarView] {
        text.unicodeScalars.split(separator: " ").map { $0 }
    }
}

/// WordPiece; `vocabulary` are the lines of vocab.txt, `lengths` the tokens that the model takes, in ascending order.
public struct Tokenizer {
    private var starts: [[UInt32]: Int32] = [:], continues: [[UInt32]: Int32] = [:]
    private let normalizer: Normalizer, lengths: [Int], longest: Int
    private let unknown: Int32, first: Int32, last: Int32, pad: Int32

    public init(vocabulary: [String], normalizer: Normalizer, lengths: [Int]) {
        self.normalizer = normalizer
        self.lengths = lengths
        for (id, piece) in vocabulary.enumerated() {
            // Scalars, not characters: Swift joins "#" and a vowel sign, and takes different scalars for equal.
            let scalars = piece.unicodeScalars.map { $0.value }
            if !scalars.isEmpty { starts[scalars] = Int32(id) }
            if scalars.count > 2 && scalars[0] == 35 && scalars[1] == 35 {  // "##"
                continues[Array(scalars.dropFirst(2))] = Int32(id)
            }
        }
        longest = vocabulary.map { $0.unicodeScalars.count }.max() ?? 0
        func special(_ piece: String, _ known: [[UInt32]: Int32]) -> Int32 {
            guard let id = known[piece.unicodeScalars.map { $0.value }] else { fatalError("no \(piece) in vocab.txt") }
            return id
        }
        unknown = special("[UNK]", starts)
        first = special("[CLS]", starts)
        last = special("[SEP]", starts)
        pad = special("[PAD]", starts)
    }

    /// How many pieces of a text the model takes.
    public var room: Int { lengths.last! - 2 }

    /// The model's inputs by name, each of as many numbers as the first of `lengths` that holds the text.
    public func inputs(_ text: String) -> [String: [Int32]] { inputs(pieces: pieces(text)) }

    /// The same of pieces; those for which there is no `room` are cut off.
    public func inputs(pieces: [Int32]) -> [String: [Int32]] { padded(wrapped(pieces.prefix(room))) }

    /// Where preprocessing.json says `"windows": true`: those of a long text's parts, whose scores are averaged.
    public func inputsInWindows(_ text: String) -> [[String: [Int32]]] {
        let ids = pieces(text), rest = max(ids.count - room, 0)
        let starts = Array(stride(from: 0, to: rest, by: max(1, room * 3 / 4))) + [rest]
        return starts.map { (start: Int) -> [String: [Int32]] in inputs(pieces: Array(ids.dropFirst(start))) }
    }

    /// The inputs of two texts that are read together; the longer one is cut first.
    public func inputs(_ one: String, _ other: String) -> [String: [Int32]] {
        inputs(pieces: pieces(one), pieces(other))
    }

    /// The same of their pieces.
    public func inputs(pieces one: [Int32], _ other: [Int32]) -> [String: [Int32]] {
        let both = room - 1
        let kept = one.prefix(max(both - other.count, both - both / 2))
        let rest = other.prefix(max(both - one.count, both / 2))
        return padded(wrapped(kept, rest), second: kept.count + 2)
    }

    /// The inputs of two texts that are read apart (`"encoder": "bi"` in preprocessing.json).
    public func inputsApart(_ one: String, _ other: String) -> [String: [Int32]] {
        let sides = [one, other].map { (text: String) -> [Int32] in wrapped(pieces(text).prefix(room)) }
        let longest = max(sides[0].count, sides[1].count)
        let length = lengths.first { $0 >= longest }!
        var made: [String: [Int32]] = [:]
        for (side, ids) in zip(["first_", "second_"], sides) {
            for (name, numbers) in padded(ids, length: length) { made[side + name] = numbers }
        }
        return made
    }

    /// The ids of a text's pieces, without those that stand around them.
    public func pieces(_ text: String) -> [Int32] {
        Normalizer.words(normalizer.normalize(text)).flatMap { cut($0.map { $0.value }) }
    }

    /// [CLS], and each part with a [SEP] behind it.
    private func wrapped(_ parts: ArraySlice<Int32>...) -> [Int32] {
        var made: [Int32] = [first]
        for part in parts {
            made.append(contentsOf: part)
            made.append(last)
        }
        return made
    }

    private func padded(_ tokens: [Int32], second: Int? = nil, length: Int? = nil) -> [String: [Int32]] {
        let length: Int = length ?? lengths.first { $0 >= tokens.count }!
        let empty = [Int32](repeating: 0, count: length)
        var ids = [Int32](repeating: pad, count: length), mask = empty, segments = empty
        for (at, id) in tokens.enumerated() {
            ids[at] = id
            mask[at] = 1
            if let second = second, at >= second { segments[at] = 1 }
        }
        return ["token_ids": ids, "padding_mask": mask, "segment_ids": segments]
    }

    private func cut(_ word: [UInt32]) -> [Int32] {
        let bytes = word.reduce(0) { (sum: Int, point: UInt32) -> Int in
            if point < 0x80 { return sum + 1 }
            if point < 0x800 { return sum + 2 }
            return sum + (point < 0x10000 ? 3 : 4)
        }
        if bytes > 100 { return [unknown] }
        var pieces: [Int32] = [], start = 0
        while start < word.count {
            let known = start == 0 ? starts : continues
            var end = min(word.count, start + longest)
            while end > start && known[Array(word[start..<end])] == nil { end -= 1 }
            if end == start { return [unknown] }
            pieces.append(known[Array(word[start..<end])]!)
            start = end
        }
        return pieces
    }
}
