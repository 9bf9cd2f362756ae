import NauraRules

/// The datatypes of the Open Inference Protocol that have a form in JSON.
enum TensorType: String {
    case bool = "BOOL"
    case uint8 = "UINT8"
    case uint16 = "UINT16"
    case uint32 = "UINT32"
    case uint64 = "UINT64"
    case int8 = "INT8"
    case int16 = "INT16"
    case int32 = "INT32"
    case int64 = "INT64"
    case fp32 = "FP32"
    case fp64 = "FP64"
    case bytes = "BYTES"

    /// The feature type whose columns take such a tensor.
    var feature: FeatureType { self == .bytes ? .text : .number }

    /// Why `cell` is no element of such a tensor; nil when it is. Null is a missing value everywhere.
    func fault(_ cell: Cell, isInteger: Bool) -> String? {
        switch (self, cell.kind) {
        case (_, .null): return nil
        case (.bytes, .text), (.bytes, .escapedText), (.bool, .yes), (.bool, .no), (.fp32, .number), (.fp64, .number):
            return nil
        case (.bytes, _), (.bool, _), (.fp32, _), (.fp64, _): return "another kind of value"
        case (_, .number):
            guard isInteger else { return "a number with a fraction" }
            return range.contains(cell.number) ? nil : "a number out of its range"
        default: return "another kind of value"
        }
    }

    /// What an integer type holds.
    private var range: ClosedRange<Double> {
        switch self {
        case .uint8: 0...255
        case .uint16: 0...65_535
        case .uint32: 0...4_294_967_295
        case .uint64: 0...0x1p64
        case .int8: -128...127
        case .int16: -32_768...32_767
        case .int32: -2_147_483_648...2_147_483_647
        default: -0x1p63...0x1p63
        }
    }
}

/// One input of an infer request: where its data stands, and what it is said to be.
struct InferTensor {
    let name: String
    let type: TensorType
    /// As sent; each ≥ 0, their product is ``count``.
    let shape: [Int]
    let count: Int
    /// Where the list of the data begins.
    let data: Int

    /// Takes one object of the list of inputs.
    ///
    /// - Throws: ``Refusal`` 400 that names the tensor and the field; ``JSONFault``.
    static func read(_ reader: inout JSONReader) throws -> InferTensor {
        guard try reader.take(0x7B) else { throw Refusal.malformed("an input is not an object") }
        var name: String?
        var type: String?
        var shape: [Int]?
        var data: Int?
        if try !reader.take(0x7D) {
            repeat {
                let field = try reader.name()
                switch reader.string(field) {
                case "name": name = try text(&reader, "an input's name")
                case "datatype": type = try text(&reader, "an input's datatype")
                case "shape": shape = try Self.shape(&reader)
                case "data":
                    guard try reader.peek() == 0x5B else { throw Refusal.malformed("an input's data is not a list") }
                    data = reader.position
                    _ = try reader.skipValue()
                default: _ = try reader.skipValue()
                }
            } while try reader.takeNext(orEnd: 0x7D)
        }
        guard let name else { throw Refusal.malformed("an input has no name") }
        guard let type else { throw Refusal.malformed("the input \(name) has no datatype") }
        guard let shape else { throw Refusal.malformed("the input \(name) has no shape") }
        guard let data else { throw Refusal.malformed("the input \(name) has no data in JSON") }
        guard let type = TensorType(rawValue: type) else {
            throw Refusal.malformed("the input \(name) has a datatype that is not known or has no form in JSON")
        }
        // A product that overflows is refused before anything is allocated by it.
        var count = 1
        for size in shape {
            let (product, overflows) = count.multipliedReportingOverflow(by: size)
            guard !overflows else { throw Refusal.malformed("the input \(name) has a shape beyond all data") }
            count = product
        }
        return InferTensor(name: name, type: type, shape: shape, count: count, data: data)
    }

    /// Reads the data, flat or nested to the shape, and hands over each element in row-major order.
    func forEach(_ body: JSONReader, _ element: (Int, Cell) throws -> Void) throws {
        var reader = JSONReader(body.bytes, at: data)
        var read = 0
        var probe = reader
        probe.position += 1
        let isNested = try probe.peek() == 0x5B && shape.count > 1
        try list(&reader, dimension: isNested ? 0 : nil, &read, element)
        guard read == count else {
            throw Refusal.malformed("the input \(name) has \(read) values, its shape says \(count)")
        }
    }

    /// Takes one list: of the last dimension (or of the flat form, `dimension` nil) elements, else of lists.
    private func list(
        _ reader: inout JSONReader, dimension: Int?, _ read: inout Int, _ element: (Int, Cell) throws -> Void
    ) throws {
        guard try reader.take(0x5B) else { throw Refusal.malformed("the input \(name) has ragged data") }
        var length = 0
        if try !reader.take(0x5D) {
            repeat {
                length += 1
                if let dimension, dimension < shape.count - 1 {
                    guard length <= shape[dimension] else { break }
                    try list(&reader, dimension: dimension + 1, &read, element)
                    continue
                }
                guard read < count else {
                    throw Refusal.malformed("the input \(name) has more values than its shape says, \(count)")
                }
                let start = try reader.peek()
                let position = reader.position
                guard let cell = try reader.cell() else {
                    throw Refusal.malformed("the input \(name) has ragged data")
                }
                let isInteger =
                    start == 0x2D || (0x30...0x39).contains(start) ? isInteger(reader, from: position) : false
                if let fault = type.fault(cell, isInteger: isInteger) {
                    throw Refusal.malformed("the input \(name) is \(type.rawValue), found \(fault)")
                }
                try element(read, cell)
                read += 1
            } while try reader.takeNext(orEnd: 0x5D)
        }
        if let dimension, length != shape[dimension] {
            throw Refusal.malformed("the input \(name) has ragged data")
        }
    }

    private func isInteger(_ reader: JSONReader, from start: Int) -> Bool {
        for index in start..<reader.position
        where reader.bytes[index] == 0x2E || reader.bytes[index] | 0x20 == 0x65 {
            return false
        }
        return true
    }

    private static func text(_ reader: inout JSONReader, _ what: String) throws -> String {
        guard try reader.peek() == 0x22 else { throw Refusal.malformed("\(what) is not text") }
        let text = try reader.text()
        guard text.end - text.start <= 1_000 else { throw Refusal.malformed("\(what) is too long") }
        return reader.string(text)
    }

    private static func shape(_ reader: inout JSONReader) throws -> [Int] {
        guard try reader.take(0x5B) else { throw Refusal.malformed("an input's shape is not a list") }
        var shape: [Int] = []
        guard try !reader.take(0x5D) else { return shape }
        repeat {
            let first = try reader.peek()
            guard first == 0x2D || (0x30...0x39).contains(first) else {
                throw Refusal.malformed("an input's shape holds something that is no number")
            }
            let number = try reader.number()
            guard number.isInteger, number.value >= 0, number.value <= 0x1p53 else {
                throw Refusal.malformed("an input's shape holds a number that is no size")
            }
            shape.append(Int(number.value))
            guard shape.count <= 16 else { throw Refusal.malformed("an input's shape has more than 16 dimensions") }
        } while try reader.takeNext(orEnd: 0x5D)
        return shape
    }
}
