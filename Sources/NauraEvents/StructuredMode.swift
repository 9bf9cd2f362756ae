import Foundation

// In structured mode the record's value is the whole event as JSON: attributes beside `data` or `data_base64`.
extension EncodedEvent {
    /// Reads an event in CloudEvents' JSON format, as HTTP clients send it and structured Kafka records hold it.
    ///
    /// - Parameter topic: the type that it must have.
    /// - Throws: ``EventFault`` naming the attribute at fault.
    public static func decodeStructured(
        body: [UInt8], topic: String, recordTime: Date
    ) throws(EventFault) -> EncodedEvent {
        guard case .object(let members) = try JSONValue.parsed(body) else {
            throw EventFault(.notAnEvent, "a structured event must be a JSON object")
        }
        var attributes = EventAttributes()
        for (name, value) in members.sorted(by: { $0.key < $1.key }) where name != "data" && name != "data_base64" {
            // Written as a header such a name would be another one, or none.
            guard !name.isEmpty, name.utf8.allSatisfy({ (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) })
            else { throw EventFault(.notAnEvent, "attribute `\(name)`: names are lower-case letters and digits") }
            switch value {
            case .null: continue
            case .string(let text): attributes.set(name, text)
            case .integer(let number): attributes.set(name, String(number))
            case .bool(let flag): attributes.set(name, String(flag))
            default:
                throw EventFault(.notAnEvent, "attribute `\(name)`: expected text, found \(value.kind)")
            }
        }
        let type = try attributes.checkedType(topic: topic, spelling: "attribute `")
        let data = try structuredData(members)
        let envelope = try attributes.envelope(
            type: type, body: data, recordTime: recordTime, spelling: "attribute `")
        return EncodedEvent(envelope: envelope, body: data)
    }

    /// The event in structured mode, as `application/cloudevents+json`.
    /// - Throws: ``EventFault`` when the body is not JSON.
    public func structured() throws(EventFault) -> [UInt8] {
        var members: [String: JSONValue] = [:]
        for (name, value) in headers where name.hasPrefix("ce_") {
            members[String(name.dropFirst(3))] = .string(String(decoding: value, as: UTF8.self))
        }
        members["datacontenttype"] = .string("application/json")
        members["data"] = try JSONValue.parsed(body)
        do {
            return Array(try CodableTimes.encoder.encode(JSONValue.object(members)))
        } catch {
            throw EventFault(.notJSON, "the event cannot be encoded: \(error)")
        }
    }

    private static func structuredData(_ members: [String: JSONValue]) throws(EventFault) -> [UInt8] {
        if let encoded = members["data_base64"]?.string {
            guard let data = Data(base64Encoded: encoded) else {
                throw EventFault(.notAnEvent, "attribute `data_base64` is not base 64")
            }
            return Array(data)
        }
        guard let data = members["data"] else { throw EventFault(.notAnEvent, "attribute `data` is missing") }
        do {
            return Array(try CodableTimes.encoder.encode(data))
        } catch {
            throw EventFault(.notJSON, "attribute `data` cannot be read: \(error)")
        }
    }
}
