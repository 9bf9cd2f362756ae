import Foundation
import Testing
import NauraRules

@testable import NauraServing

private func reading<R>(_ text: String, _ body: (inout JSONReader) throws -> R) throws -> R {
    try Array(text.utf8).withUnsafeBufferPointer { bytes in
        var reader = JSONReader(bytes)
        return try body(&reader)
    }
}

@Suite("The JSON reader")
struct JSONReaderTests {
    @Test("every number reads as the Double that the standard library reads")
    func numbers() throws {
        var random = SplitMix64(seed: 3)
        var texts = [
            "0", "-0", "0.1", "1e5", "1E-5", "123456789012345678901234567890", "9007199254740993", "1e-400", "4.9e-324",
            "0.30000000000000004", "2.2250738585072014e-308", "1.7976931348623157e308", "0e999999999", "-12.75e+2",
        ]
        for _ in 0..<20_000 {
            let value = Double(bitPattern: random.next())
            if value.isFinite { texts.append(value.description) }
            texts.append("\(random.next() % 100_000).\(random.next() % 1_000_000)")
        }
        for text in texts {
            let number = try reading(text) { reader in
                let number = try reader.number()
                try reader.end()
                return number
            }
            #expect(number.value.bitPattern == Double(text)?.bitPattern, "\(text)")
        }
    }

    @Test(
        "what is no number is refused",
        arguments: ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "NaN", "Infinity", "-Infinity", "0x10", "1_000"])
    func noNumbers(_ text: String) {
        #expect(throws: JSONFault.self) {
            try reading(text) { reader in
                _ = try reader.number()
                try reader.end()
            }
        }
    }

    @Test("a number beyond a Double is infinite, not a fault of the grammar")
    func beyond() throws {
        #expect(try reading("1e999") { try $0.number().value } == .infinity)
        #expect(try reading("-1e999") { try $0.number().value } == -.infinity)
    }

    @Test(
        "texts read as Foundation reads them, escapes and surrogates included",
        arguments: [
            #""""#, #""plain""#, #""\"\\\/\b\f\n\r\t""#, #""\u00e9""#, #""\ud83d\ude00 x""#, "\"é😀\"", #""\u0000""#,
        ])
    func texts(_ text: String) throws {
        let value = try reading(text) { reader in
            let found = try reader.text()
            try reader.end()
            return reader.string(found)
        }
        let expected = try JSONSerialization.jsonObject(with: Data("[\(text)]".utf8)) as? [String]
        #expect(value == expected?.first)
    }

    @Test(
        "bytes that are no UTF-8, half surrogates and raw control characters are refused",
        arguments: [
            [0x22, 0x80, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xF5, 0x80, 0x80, 0x80, 0x22],
            [0x22, 0xE2, 0x82, 0x22], [0x22, 0x0A, 0x22], [0x22, 0x5C, 0x78, 0x22], Array(#""\ud800""#.utf8),
            Array(#""\udc00\ud800""#.utf8), Array(#""\ud83dx""#.utf8), [0x22, 0x61], [0x22, 0x5C],
        ] as [[UInt8]])
    func badTexts(_ bytes: [UInt8]) {
        #expect(throws: JSONFault.self) {
            try bytes.withUnsafeBufferPointer { bytes in
                var reader = JSONReader(bytes)
                _ = try reader.text()
            }
        }
    }

    @Test("what the reader accepts, Foundation accepts, for a hundred thousand mutated documents")
    func agreesWithFoundation() throws {
        let seed = Array(#"{"a":[1,2.5e-3,null,true],"b":{"c":"x\n\u00e9é","d":false},"e":[]}"#.utf8)
        var random = SplitMix64(seed: 9)
        var accepted = 0
        for _ in 0..<100_000 {
            var bytes = seed
            for _ in 0...random.next() % 3 {
                let position = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[position] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: position)
                default: bytes.insert(seed[Int(random.next() % UInt64(seed.count))], at: position)
                }
            }
            let isAccepted = bytes.withUnsafeBufferPointer { bytes in
                var reader = JSONReader(bytes)
                do {
                    _ = try reader.skipValue()
                    try reader.end()
                    return true
                } catch {
                    return false
                }
            }
            guard isAccepted else { continue }
            accepted += 1
            #expect(throws: Never.self) {
                _ = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
            }
        }
        #expect(accepted > 1_000)
    }

    @Test("deep nesting is refused instead of exhausting the stack")
    func depth() {
        let text = String(repeating: "[", count: 100_000)
        let fault = #expect(throws: JSONFault.self) { try reading(text) { _ = try $0.skipValue() } }
        #expect(fault?.reason == .tooDeep)
    }

    @Test("written texts and numbers read back as they were")
    func writes() throws {
        for text in ["", "plain", "a\"b\\c\u{1}\n", "é😀"] {
            var bytes: [UInt8] = []
            bytes.appendJSON(text)
            let back = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed) as? String
            #expect(back == text)
        }
        for value in [0, 7, 10, -1, 99, 100, Int.max, Int.min] {
            var bytes: [UInt8] = []
            bytes.appendDecimal(value)
            #expect(String(decoding: bytes, as: UTF8.self) == String(value))
        }
        for microseconds in [0, 1_795_672_249_123_456, 951_782_400_000_000, 4_107_542_399_999_999] as [Int64] {
            var bytes: [UInt8] = []
            bytes.appendTime(microseconds: microseconds)
            let date = Date(timeIntervalSince1970: Double(microseconds) / 1e6)
            let text = date.formatted(.iso8601.year().month().day().time(includingFractionalSeconds: false))
            #expect(String(decoding: bytes.dropFirst().prefix(19), as: UTF8.self) == text.prefix(19))
            #expect(bytes.count == 29)
        }
    }
}
