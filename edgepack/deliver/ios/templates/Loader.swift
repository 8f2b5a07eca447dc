// $name $version. Finds the model, and hands it out only after its SHA-256, its contract and its golden vectors were checked.
// The interpreter is the app's own (TensorFlowLiteSwift or LiteRT): it is passed in as a closure, so that this package has
// no dependency that could pin its version.
import CryptoKit
import Foundation

public enum ${Type}ModelError: Error, CustomStringConvertible {
    case missing(String)
    case altered(file: String, found: String)
    case contract(String)
    case golden(output: String, vector: Int, difference: Double, tolerance: Double)

    public var description: String {
        switch self {
        case .missing(let file): return "\(file) is not in the bundle"
        case .altered(let file, let found): return "\(file) is not the released file: SHA-256 \(found)"
        case .contract(let text): return text
        case .golden(let output, let vector, let difference, let tolerance):
            return "output \(output) is off by \(difference) on golden vector \(vector); \(tolerance) is tolerated"
        }
    }
}

public struct ${Type}Model {
    public static let version = "$version"
    public static let sha256 = "$sha256"
    static let contractSHA256 = "$contract_sha256"

    public struct Tensor: Decodable {
        public let name: String
        public let dtype: String
        public let shape: [Int?]
        public let scale: Double?
        public let zero_point: Int?
    }

    struct File: Decodable { let file: String; let sha256: String }
    struct GoldenTensor: Decodable {
        let role: String, name: String, dtype: String
        let shape: [Int]
        let offset: Int, bytes: Int
    }
    struct Check: Decodable { let name: String; let tolerance: Double }
    struct Golden: Decodable {
        let file: String, sha256: String
        let tensors: [GoldenTensor]
        let checks: [Check]
    }
    public struct Contract: Decodable {
        public let inputs: [Tensor]
        public let outputs: [Tensor]
        public let labels: [String]
        public let stateful: Bool
        let model: File
        let golden: Golden
    }

    /// Where the checked model lies; give it to the interpreter.
    public let path: URL
    public let contract: Contract
    let golden: Data

    /// From this package's own resources.
    public init() throws {
        guard let folder = Bundle.module.url(forResource: "Resources", withExtension: nil) else {
            throw ${Type}ModelError.missing("Resources")
        }
        try self.init(folder: folder)
    }

    /// From a folder: an asset pack of Background Assets, or a download of your own.
    public init(folder: URL) throws {
        path = folder.appendingPathComponent("$stem.tflite")
        _ = try ${Type}Model.read(path, wanted: ${Type}Model.sha256)
        let text = try ${Type}Model.read(
            folder.appendingPathComponent("$stem.json"), wanted: ${Type}Model.contractSHA256)
        contract = try JSONDecoder().decode(Contract.self, from: text)
        golden = try ${Type}Model.read(
            folder.appendingPathComponent(contract.golden.file), wanted: contract.golden.sha256)
    }

    static func read(_ file: URL, wanted: String) throws -> Data {
        guard let data = try? Data(contentsOf: file, options: .alwaysMapped) else {
            throw ${Type}ModelError.missing(file.lastPathComponent)
        }
        let found = SHA256.hash(data: data).map { String(format: "%02x", $$0) }.joined()
        guard found == wanted else {
            throw ${Type}ModelError.altered(file: file.lastPathComponent, found: found)
        }
        return data
    }

    /// Holds the interpreter's tensors against the contract.
    public func check(inputs: [(dtype: String, shape: [Int])], outputs: [(dtype: String, shape: [Int])]) throws {
        for (role, found, wanted) in [("input", inputs, contract.inputs), ("output", outputs, contract.outputs)] {
            guard found.count == wanted.count else {
                throw ${Type}ModelError.contract("\(found.count) \(role)s; expected \(wanted.count)")
            }
            for (one, other) in zip(found, wanted) {
                let sameShape = one.shape.count == other.shape.count
                    && zip(one.shape, other.shape).allSatisfy { $$1 == nil || $$0 == $$1! }
                guard one.dtype == other.dtype, sameShape else {
                    throw ${Type}ModelError.contract(
                        "\(role) \(other.name) is \(one.dtype) \(one.shape); expected \(other.dtype) \(other.shape)")
                }
            }
        }
    }

    /// Runs the golden vectors on this device. `run` takes the raw bytes of every input and gives those of every output,
    /// in the contract's order, starting from fresh state.
    public func checkGolden(run: ([Data]) throws -> [Data]) throws {
        let arrays = contract.golden.tensors
        guard let count = arrays.first?.shape.first else { throw ${Type}ModelError.contract("no golden vector") }
        func slice(_ role: String, _ name: String, _ vector: Int) throws -> (Data, String) {
            guard let array = arrays.first(where: { $$0.role == role && $$0.name == name }) else {
                throw ${Type}ModelError.contract("no golden array for \(role) \(name)")
            }
            let size = array.bytes / count
            let start = golden.startIndex + array.offset + vector * size
            return (golden.subdata(in: start..<(start + size)), array.dtype)
        }
        for vector in 0..<count {
            let found = try run(try contract.inputs.map { try slice("input", $$0.name, vector).0 })
            for (data, output) in zip(found, contract.outputs) {
                let (wanted, dtype) = try slice("output", output.name, vector)
                let off = difference(dtype, data, wanted)
                let tolerance = contract.golden.checks.first { $$0.name == output.name }?.tolerance ?? 2
                guard off <= tolerance else {
                    throw ${Type}ModelError.golden(
                        output: output.name, vector: vector, difference: off, tolerance: tolerance)
                }
            }
        }
    }

    /// Largest difference: steps of an integer type, or absolute for floats.
    func difference(_ dtype: String, _ found: Data, _ wanted: Data) -> Double {
        guard found.count == wanted.count else { return .infinity }
        switch dtype {
        case "int8": return largest(found, wanted, Int8.self) { Double($$0) }
        case "uint8", "bool": return largest(found, wanted, UInt8.self) { Double($$0) }
        case "int16": return largest(found, wanted, Int16.self) { Double($$0) }
        case "int32": return largest(found, wanted, Int32.self) { Double($$0) }
        case "float32": return largest(found, wanted, Float.self) { Double($$0) }
        default: return found == wanted ? 0 : .infinity
        }
    }

    func largest<T>(_ found: Data, _ wanted: Data, _ type: T.Type, _ value: (T) -> Double) -> Double {
        func numbers(_ data: Data) -> [T] {
            data.withUnsafeBytes { raw in
                (0..<(data.count / MemoryLayout<T>.size)).map {
                    raw.loadUnaligned(fromByteOffset: $$0 * MemoryLayout<T>.size, as: T.self)
                }
            }
        }
        return zip(numbers(found), numbers(wanted)).reduce(0) { worst, pair in
            let off = abs(value(pair.0) - value(pair.1))
            return off.isNaN ? .infinity : max(worst, off)
        }
    }
}
