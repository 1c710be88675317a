// What the tests ask of the Swift sources: main WHAT FOLDER LENGTHS LINES [MORE...], the lines hexadecimal UTF-8.
import Foundation
import TensorFlowLite

func bytes(_ hex: Substring) -> [UInt8] {
    let digits = Array(hex.utf8).map { UInt8($0 < 58 ? $0 - 48 : $0 - 87) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] * 16 + digits[$0 + 1] }
}

/// In the place of a model: numbers that depend on a piece and on the one behind it.
func drawn(_ ids: [Int32], _ outputs: Int) -> [[Double]] {
    ids.indices.map { at in
        let both = Int(ids[at]) * 7919 + Int(ids[(at + 1) % ids.count]) * 104729
        return (0..<outputs).map { Double(1 + (both + $0 * 1_299_709) % 10007) }
    }
}

func joined<T>(_ row: [T]?) -> String { row!.map { "\($0)" }.joined(separator: " ") }

func optional(_ number: Float?) -> String { number.map { "\($0)" } ?? "null" }

let arguments = Array(CommandLine.arguments.dropFirst())
let (what, folder) = (arguments[0], URL(fileURLWithPath: arguments[1]))
let lengths = arguments[2].split(separator: ",").map { Int($0)! }, more = Array(arguments.dropFirst(4))
let lines = try String(contentsOfFile: arguments[3], encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)

func strings(_ name: String) throws -> [String] {
    Array(try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8).components(separatedBy: "\n").dropLast())
}

if what == "pixels" {
    let pixels = Pixels(rows: lengths[0], columns: lengths[1], crop: more[0], margin: Int(more[1])!, resample: more[2])
    for line in lines.dropLast() {
        let parts = line.split(separator: " "), size = parts[0].split(separator: ",").map { Int($0)! }
        print(joined(pixels.prepare(bytes(parts[1]), width: size[0], height: size[1])))
    }
    exit(0)
}
let table = try Data(contentsOf: folder.appendingPathComponent("normalizer.bin"))
let tokenizer = Tokenizer(vocabulary: try strings("vocab.txt"), normalizer: Normalizer(table: table), lengths: lengths)
for line in lines.dropLast() {
    let texts = line.split(separator: " ", omittingEmptySubsequences: false).map { String(decoding: bytes($0), as: UTF8.self) }
    let first = texts[0], second = texts.count > 1 ? texts[1] : ""
    func place(_ text: String, _ at: String.Index) -> Int {
        text.unicodeScalars.distance(from: text.startIndex, to: at)
    }
    switch what {
    case "text": print(joined(tokenizer.inputs(first)["token_ids"]))
    case "windows":
        print(tokenizer.inputsInWindows(first).map { joined($0["token_ids"]) }.joined(separator: ";"))
    case "pair":
        let made = tokenizer.inputs(first, second)
        print(joined(made["token_ids"]) + ";" + joined(made["segment_ids"]))
    case "apart":
        let made = tokenizer.inputsApart(first, second)
        print(joined(made["first_token_ids"]) + ";" + joined(made["second_token_ids"]))
    case "said":
        let bundle = Bundle(path: folder.path)!, export = try Export(bundle: bundle)
        Interpreter.scores = { ids in
            let rows = drawn(ids, export.outputs)
            return (0..<export.outputs).map { at in
                Float(rows.reduce(0) { $0 + $1[at] }.truncatingRemainder(dividingBy: 10007) / 10007)
            }
        }
        let scores = more[1] == "pair"
            ? try PairExample(bundle: bundle).scores(first, second) : try TextExample(bundle: bundle).scores(first)
        switch more[0] {
        case "label":
            let found = export.label(scores)
            print("\(found.label) \(found.score)")
        case "labels": print(export.labels(scores).joined(separator: " "))
        default:
            print(export.numbers(scores).map {
                "\($0.label) \($0.unit) \($0.value) \(optional($0.low)) \(optional($0.high))"
            }.joined(separator: " "))
        }
    case "entities":
        let tags = try strings("labels.txt")
        let steps = more.dropFirst().map { $0.split(separator: ",").map { Float($0)! } }
        let tagger = Tagger(
            tokenizer: tokenizer, tags: tags, every: more[0] == "all", steps: steps.isEmpty ? nil : Array(steps)
        ) { made in
            drawn(made["token_ids"]!, tags.count).map { row in
                let sum = row.reduce(0, +)
                return row.map { Float($0 / sum) }
            }
        }
        print(try tagger.find(first).map {
            "\(place(first, $0.range.lowerBound)) \(place(first, $0.range.upperBound)) \($0.label) \($0.score)"
        }.joined(separator: ";"))
    default:
        let answerer = Answerer(
            tokenizer: tokenizer, maxQuestion: Int(more[0])!, mostWords: Int(more[1])!,
            threshold: more[2] == "null" ? nil : Double(more[2])!
        ) { made in drawn(made["token_ids"]!, 2).map { row in row.map { Float($0 / 1000 - 5) } } }
        let told = try answerer.answer(first, in: second)
        let range = told.range ?? second.startIndex..<second.startIndex
        print("\(place(second, range.lowerBound)) \(place(second, range.upperBound)) \(told.score)")
    }
}
