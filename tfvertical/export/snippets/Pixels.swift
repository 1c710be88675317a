// What becomes of a picture before the model, as in training: cut, then resized with the filters of Pillow.
import Foundation

/// The model's size in pixels, and how a picture gets there, as "config" in preprocessing.json says.
final class Pixels {
    private typealias Box = (top: Int, left: Int, height: Int, width: Int)
    private typealias Share = (start: Int, weights: [Int])
    private let rows: Int, columns: Int, crop: String, margin: Int, resample: String
    private let a = -0.5 // of the bicubic filter
    private let bits = 22 // of a weight behind the point
    private var known: [[Int]: [Share]] = [:]

    init(rows: Int, columns: Int, crop: String, margin: Int, resample: String) {
        (self.rows, self.columns, self.crop, self.margin, self.resample) = (rows, columns, crop, margin, resample)
    }

    /// The RGB bytes that the model takes, row by row, of an upright picture's RGB bytes.
    func prepare(_ picture: [UInt8], width: Int, height: Int) -> [UInt8] {
        precondition(picture.count == 3 * width * height && !picture.isEmpty)
        let whole: Box = (0, 0, height, width)
        if crop != "pad" {
            return resized(picture, width, crop == "center" ? centre(height, width) : whole, rows, columns)
        }
        let inner = self.inner(height, width)
        let part = resized(picture, width, whole, inner.height, inner.width)
        var out = [UInt8](repeating: 127, count: 3 * rows * columns)
        for row in 0..<inner.height {
            let at = 3 * ((inner.top + row) * columns + inner.left)
            out.replaceSubrange(at..<(at + 3 * inner.width), with: part[(3 * row * inner.width)..<(3 * (row + 1) * inner.width)])
        }
        return out
    }

    /// The largest centred part of the model's shape, less the margin.
    private func centre(_ height: Int, _ width: Int) -> Box {
        let tight = height * columns <= width * rows // the height is the tight side
        let side = tight ? height : width
        let whole = (tight ? rows : columns) + margin
        let tall = max(side * rows / whole, 1), wide = max(side * columns / whole, 1)
        return ((height - tall + 1) / 2, (width - wide + 1) / 2, tall, wide)
    }

    /// Where all of a picture has room.
    private func inner(_ height: Int, _ width: Int) -> Box {
        let tall = height * columns >= width * rows
        let down = tall ? rows : max(height * columns / width, 1)
        let across = tall ? max(width * rows / height, 1) : columns
        return ((rows - down) / 2, (columns - across) / 2, down, across)
    }

    private func resized(_ picture: [UInt8], _ width: Int, _ box: Box, _ down: Int, _ across: Int) -> [UInt8] {
        var narrow = [UInt8](repeating: 0, count: 3 * box.height * across)
        for row in 0..<box.height {
            let begins = 3 * ((box.top + row) * width + box.left)
            blend(picture, begins, 3, box.width, &narrow, 3 * row * across, 3, across)
        }
        var out = [UInt8](repeating: 0, count: 3 * down * across)
        for column in 0..<across {
            blend(narrow, 3 * column, 3 * across, box.height, &out, 3 * column, 3 * across, down)
        }
        return out
    }

    /// A line of `from` pixels as one of `to`: both begin somewhere and have so many bytes from pixel to pixel.
    private func blend(
        _ source: [UInt8], _ begins: Int, _ step: Int, _ from: Int,
        _ target: inout [UInt8], _ there: Int, _ stride: Int, _ to: Int
    ) {
        for (at, share) in shares(from, to).enumerated() {
            for channel in 0..<3 {
                var sum = 1 << (bits - 1)
                for (number, weight) in share.weights.enumerated() {
                    sum += weight * Int(source[begins + (share.start + number) * step + channel])
                }
                target[there + at * stride + channel] = UInt8(min(max(sum >> bits, 0), 255))
            }
        }
    }

    /// For each of `to` pixels, which of `from` it is made of.
    private func shares(_ from: Int, _ to: Int) -> [Share] {
        if let found = known[[from, to]] { return found }
        let scale = Double(from) / Double(to)
        let wide = max(scale, 1)
        let reach = (resample == "bilinear" ? 1 : 2) * wide
        let found: [Share] = (0..<to).map { at in
            let centre = (Double(at) + 0.5) * scale
            let start = max(Int(centre - reach + 0.5), 0)
            let end = min(Int(centre + reach + 0.5), from)
            let raw = (start..<end).map { weight((Double($0) - centre + 0.5) * (1 / wide)) }
            let sum = raw.reduce(0, +)
            return (start, raw.map {
                let share = sum == 0 ? $0 : $0 / sum
                return Int(share * Double(1 << bits) + (share < 0 ? -0.5 : 0.5))
            })
        }
        known[[from, to]] = found
        return found
    }

    private func weight(_ distance: Double) -> Double {
        let x = abs(distance)
        if resample == "bilinear" { return max(1 - x, 0) }
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    }
}
