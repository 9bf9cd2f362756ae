import Foundation
import NauraData
import NauraRules
import Testing

@Suite struct CellTests {
    @Test(
        "a text is of the most particular kind that it can be",
        arguments: [
            ("", .blank), (" ", .blank), ("\t", .blank), ("NA", .nullMark), ("nan", .nullMark), ("NULL", .nullMark),
            ("?", .nullMark), ("7", .integer), ("-7", .integer), (" +7 ", .integer), ("7.0", .number),
            ("1e3", .number), (".5", .number), ("5.", .number), ("-", .text), ("1e", .text), ("1,5", .text),
            ("0x10", .text), ("inf", .text), ("1e999", .text), ("true", .boolean), ("FALSE", .boolean),
            ("Yes", .text), ("2013-01-01", .timestamp), ("2013-13-01", .text), ("2013-02-29", .text),
            ("2012-02-29T23:59:60Z", .timestamp), ("12:30", .text), ("1-2-3", .text),
        ] as [(String, Cell.Kind)])
    func kinds(_ text: String, _ kind: Cell.Kind) {
        #expect(Cell.read(text).kind == kind)
    }

    @Test("numbers are read to the nearest double, as the standard library reads them")
    func numbers() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let exponent = Int.random(in: -30...30, using: &generator)
            let digits = UInt64.random(in: 0...UInt64.max, using: &generator) >> UInt64.random(in: 0...63)
            let text = Bool.random() ? "\(digits)e\(exponent)" : "\(digits / 1_000).\(digits % 1_000)"
            #expect(Cell.read(text).value == Double(text), "\(text)")
        }
        for text in ["0.1", "-0", "123456789012345678", "9007199254740993", "1.7976931348623157e308", "5e-324"] {
            #expect(Cell.read(text).value == Double(text), "\(text)")
        }
    }

    @Test(
        "moments are read with and without zone, fraction and time of day",
        arguments: [
            ("1970-01-01", 0), ("1970-01-01T00:00:01Z", 1_000_000), ("1970-01-01 01:00:00.5+01:00", 500_000),
            ("1970-01-01T00:00", 0), ("1969-12-31T23:59:59.999999Z", -1), ("1970-01-01 00:00:00 UTC", 0),
            ("1970-01-01T00:00:00.1234567-0030", 1_800_123_456), ("2013-07-01 10:20:30", 1_372_674_030_000_000),
        ] as [(String, Int64)])
    func moments(_ text: String, _ microseconds: Int64) {
        #expect(Cell.read(text).moment == microseconds)
    }

    @Test("a moment's text reads back as the same moment, in the calendar of Foundation")
    func momentTexts() throws {
        let formatter = ISO8601DateFormatter()
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let second = Int64.random(in: -10_000_000_000...20_000_000_000, using: &generator)
            let text = Timestamp.text(second * 1_000_000)
            #expect(text == formatter.string(from: Date(timeIntervalSince1970: Double(second))))
            #expect(Cell.read(text).moment == second * 1_000_000)
        }
        #expect(Timestamp.text(-1) == "1969-12-31T23:59:59.999999Z")
    }

    @Test("whole numbers are moments only as plausible epochs")
    func epochs() {
        #expect(Cell.read("1372674030").moment == 1_372_674_030_000_000)
        #expect(Cell.read("1372674030000").moment == 1_372_674_030_000_000)
        #expect(Cell.read("20130101").moment == nil)
    }

    @Test("a label is one text, however its file writes it")
    func labels() {
        for text in ["1", "1.0", " +1 "] { #expect(Cell.canonicalText(text, type: .integer) == "1") }
        #expect(Cell.canonicalText("TRUE", type: .boolean) == "true")
        #expect(Cell.canonicalText("0", type: .boolean) == "false")
        #expect(Cell.canonicalText(" Yes ", type: .text) == "Yes")
    }
}
