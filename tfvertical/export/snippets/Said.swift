// What a model's scores say: the best label, the labels that apply, or numbers. Plain Swift.

/// A number in its own unit; `low` and `high` are nil where the model gives no bounds.
public struct Quantity {
    public let label: String, value: Float, unit: String, low: Float?, high: Float?
}

/// The best of `labels` and its score; of equal ones the first.
public func best(_ labels: [String], _ scores: [Float]) -> (label: String, score: Float) {
    let best = scores.indices.dropFirst().reduce(0) { scores[$1] > scores[$0] ? $1 : $0 }
    return (labels[best], scores[best])
}

/// The labels that apply, the likeliest first; `thresholds` stand in preprocessing.json, in `codec`.
public func applying(_ labels: [String], thresholds: [Float], _ scores: [Float]) -> [String] {
    let found = scores.indices.filter { scores[$0] >= thresholds[$0] }
    return found.sorted { (scores[$0], $1) > (scores[$1], $0) }.map { labels[$0] }
}

/// The numbers of one item; the arguments stand in preprocessing.json, in `codec`: `bounds` is whether `interval` does.
public func quantities(
    names: [String], units: [String], bounds: Bool, levels: [Float], _ scores: [Float]
) -> [Quantity] {
    func unit(_ at: Int) -> String { at < units.count ? units[at] : "" }
    if !levels.isEmpty {
        func level(_ least: Double) -> Float { levels[scores.filter { Double($0) > least }.count] }
        return [Quantity(label: names[0], value: level(0.5), unit: unit(0), low: level(0.95), high: level(0.05))]
    }
    return names.indices.map { at in
        guard bounds else { return Quantity(label: names[at], value: scores[at], unit: unit(at), low: nil, high: nil) }
        let three = scores[(3 * at)..<(3 * at + 3)].map { $0 }
        return Quantity(label: names[at], value: three[1], unit: unit(at), low: three[0], high: three[2])
    }
}
