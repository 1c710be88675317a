// Where the words of a text stand, and how a long text is read: for models that find entities or answers.
// Plain Swift; copy it into the app beside Tokenizer.swift.
import Foundation

private let chinese: [ClosedRange<UInt32>] = [
    0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF,
    0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B820...0x2CEAF, 0x2F800...0x2FA1F,
]

/// Where each word begins and ends; a punctuation mark or a Chinese character is one by itself. What nobody sees, joiners
/// excepted, may stand inside a word, but none begins or ends with it.
public func words(_ text: String) -> [Range<String.Index>] {
    let scalars = text.unicodeScalars
    var found: [Range<String.Index>] = [], at = scalars.startIndex
    var start: String.Index? = nil, end = at  // of the word that goes on: where it begins, and behind what is seen of it
    while at < scalars.endIndex {
        let scalar = scalars[at], next = scalars.index(after: at)
        let space = scalar == "\t" || scalar == "\n" || scalar == "\r" || isSpace(scalar)
        let alone = !space && (chinese.contains { $0.contains(scalar.value) } || isMark(scalar))
        if space || alone {
            if let begun = start { found.append(begun..<end) }
            start = nil
            if alone { found.append(at..<next) }
        } else if !isUnseen(scalar) {
            if start == nil { start = at }
            end = next
        }
        at = next
    }
    if let begun = start { found.append(begun..<end) }
    return found
}

private func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .spaceSeparator, .lineSeparator, .paragraphSeparator: return true
    default: return false
    }
}

private func isUnseen(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value == 0x200C || scalar.value == 0x200D { return false }
    switch scalar.properties.generalCategory {
    case .control, .format, .privateUse, .surrogate: return true
    default: return scalar.value == 0xFFFD || scalar.value >= 0xF0000
    }
}

private func isMark(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII {
        let letter = (65...90).contains(scalar.value) || (97...122).contains(scalar.value)
        return (33...126).contains(scalar.value) && !letter && !(48...57).contains(scalar.value)
    }
    switch scalar.properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
        .finalPunctuation, .otherPunctuation:
        return true
    default: return false
    }
}

/// Part of a text that is read at once: the words `first..<last`, of which it answers for `own`.
struct Window {
    let first: Int, last: Int, own: Range<Int>
}

/// Whole words, at most `room` pieces at once, a quarter of them twice; a word's window has it furthest inside.
func windows(_ counts: [Int], room: Int) -> [Window] {
    var before = [0]  // pieces before each word
    for count in counts { before.append(before.last! + count) }
    func least(_ pieces: Double) -> Int { before.filter { Double($0) < pieces }.count }
    var places: [(start: Int, end: Int)] = [], start = 0
    while true {
        let end = before.filter { $0 <= before[start] + room }.count - 1
        places.append((start, end))
        if end == counts.count { break }
        let again = min(least(Double(before[end] - room / 4)), least(Double(before.last! - room)))
        start = max(start + 1, again, least(Double(before[end + 1] - room)))
    }
    var borders = [0]
    for (one, other) in zip(places, places.dropFirst()) {
        let middle = Double(before[other.start] + before[one.end]) / 2
        borders.append(min(max(least(middle), other.start), one.end))
    }
    borders.append(counts.count)
    return places.enumerated().map { at, place in
        Window(first: place.start, last: place.end, own: borders[at]..<borders[at + 1])
    }
}
