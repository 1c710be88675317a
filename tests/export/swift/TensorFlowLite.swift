// What the examples for iOS need of TensorFlowLiteSwift, so that they can be compiled and run without it.
import Foundation

public struct QuantizationParameters {
    public let scale: Float, zeroPoint: Int
}

public struct Tensor {
    public enum DataType { case float32, uInt8 }
    public let dataType: DataType, data: Data, quantizationParameters: QuantizationParameters?
}

/// Answers what `scores` says of token ids.
public final class Interpreter {
    nonisolated(unsafe) public static var scores: ([Int32]) -> [Float] = { _ in fatalError("no scores") }

    public init(modelPath: String) throws { _ = try Data(contentsOf: URL(fileURLWithPath: modelPath)) }
    public var signatureKeys: [String] { ["serving_default"] }
    public func allocateTensors() throws {}
    public func input(at index: Int) throws -> Tensor { fatalError("no tensors") }
    public func output(at index: Int) throws -> Tensor { fatalError("no tensors") }
    public func copy(_ data: Data, toInputAt index: Int) throws { fatalError("no tensors") }
    public func invoke() throws { fatalError("no tensors") }
    public func signatureRunner(with key: String) throws -> SignatureRunner { SignatureRunner() }
}

public final class SignatureRunner {
    private var ids: [Int32] = []

    public var inputs: [String] { ["token_ids", "first_token_ids", "second_token_ids"] }
    public func resizeInput(named name: String, toShape shape: [Int]) throws {}
    public func invoke(with data: [String: Data]) throws {
        ids = data.sorted { $0.key < $1.key }.flatMap { $0.value.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) } }
    }
    public func output(named name: String) throws -> Tensor {
        let found = Interpreter.scores(ids).withUnsafeBufferPointer { Data(buffer: $0) }
        return Tensor(dataType: .float32, data: found, quantizationParameters: nil)
    }
}
