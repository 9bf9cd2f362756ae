/// One value of a table, as features and expressions see it.
///
/// Booleans are the numbers 0 and 1, timestamps the seconds since 1970-01-01 00:00 UTC. Texts are equal when their bytes
/// are: a composed and a decomposed é are two values, as they are two categories for the encoder and for drift.
public enum CellValue: Sendable {
    /// Nothing is known.
    case null
    /// A number, a boolean, or a moment.
    case number(Double)
    /// A text.
    case text(String)

    /// Whether this is null.
    public var isNull: Bool {
        if case .null = self { true } else { false }
    }

    /// The number, or nil for null and for text.
    public var number: Double? {
        if case .number(let number) = self { number } else { nil }
    }

    /// The text, or nil for null and for numbers.
    public var text: String? {
        if case .text(let text) = self { text } else { nil }
    }
}

extension CellValue: Hashable {
    /// Equality by value and type: numbers as IEEE 754 compares them, texts byte by byte.
    public static func == (left: CellValue, right: CellValue) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.number(let left), .number(let right)): left == right
        case (.text(let left), .text(let right)): left.utf8.elementsEqual(right.utf8)
        default: false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .number(let number): hasher.combine(number)
        case .text(let text): for byte in text.utf8 { hasher.combine(byte) }
        }
    }
}

extension CellValue: Codable {
    /// Reads JSON's null, number, boolean (as 0 or 1) or text.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
            return
        }
        do {
            self = .number(try container.decode(Double.self))
        } catch DecodingError.typeMismatch {
            do {
                self = .text(try container.decode(String.self))
            } catch DecodingError.typeMismatch {
                self = .number(try container.decode(Bool.self) ? 1 : 0)
            }
        }
    }

    /// Writes JSON's null, number or text. JSON has no word for a number that is not finite: it becomes null.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .number(let number):
            if number.isFinite { try container.encode(number) } else { try container.encodeNil() }
        case .text(let text): try container.encode(text)
        }
    }
}

extension CellValue: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral,
    ExpressibleByNilLiteral
{
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(integerLiteral value: Int) { self = .number(Double(value)) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(nilLiteral: ()) { self = .null }
}

extension CellValue: CustomStringConvertible {
    /// The value as a person would write it; null is `null`, whole numbers have no fraction.
    public var description: String {
        switch self {
        case .null: "null"
        case .number(let number):
            number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
        case .text(let text): text
        }
    }
}
