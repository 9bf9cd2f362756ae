import Foundation

/// How values become `jsonb` documents and back: keys sorted, times RFC 3339 in UTC with microseconds, and the numbers
/// that JSON lacks as the texts `NaN`, `Infinity` and `-Infinity`.
public enum PostgresJSON {
    /// The UTF-8 text of `value`.
    public static func encode(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        encoder.dateEncodingStrategy = .custom { date, encoder in
            guard let microseconds = PostgresTime.microseconds(of: date) else {
                throw EncodingError.invalidValue(
                    date, .init(codingPath: encoder.codingPath, debugDescription: "outside PostgreSQL's range"))
            }
            var container = encoder.singleValueContainer()
            try container.encode(PostgresTime.text(microseconds: microseconds))
        }
        return try encoder.encode(value)
    }

    /// The value in `text`.
    public static func decode<T: Decodable>(_ type: T.Type, from text: Data) throws -> T {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let date = date(text) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "`\(text)` is no RFC 3339 time")
            }
            return date
        }
        return try decoder.decode(type, from: text)
    }

    /// The moment that an RFC 3339 text names, to the microsecond; nil when it names none.
    private static func date(_ text: String) -> Date? {
        if text == "infinity" { return .distantFuture }
        if text == "-infinity" { return .distantPast }
        // Foundation's parser keeps milliseconds only, so the fraction is read apart from the rest.
        guard let dot = text.firstIndex(of: ".") else { return parseWhole(text) }
        let digits = text[text.index(after: dot)...].prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, let whole = parseWhole(text[..<dot] + text[digits.endIndex...]),
            let fraction = Double("0." + digits)
        else { return nil }
        return whole.addingTimeInterval(fraction)
    }

    private static func parseWhole(_ text: some StringProtocol) -> Date? {
        do { return try Date(String(text), strategy: .iso8601) } catch { return nil }
    }
}
