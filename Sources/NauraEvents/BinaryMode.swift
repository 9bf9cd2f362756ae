import Foundation

// CloudEvents' Kafka binding: in binary mode attributes are `ce_` headers and the value is the data.
extension EncodedEvent {
    /// The record's headers in binary mode; the record's value is ``body`` and its key the envelope's subject.
    public var headers: [(name: String, value: [UInt8])] {
        var headers: [(name: String, value: [UInt8])] = []
        headers.reserveCapacity(12)
        headers.append(("content-type", Self.contentTypeBytes))
        headers.append(("ce_specversion", Self.specversionBytes))
        headers.append(("ce_id", Array(envelope.id.rawValue.utf8)))
        let entry = EventCatalogue.entry(for: envelope.type)
        headers.append(("ce_type", entry?.typeBytes ?? Array(envelope.type.rawValue.utf8)))
        headers.append(("ce_source", Array(envelope.source.utf8)))
        headers.append(("ce_subject", Array(envelope.subject.utf8)))
        headers.append(("ce_time", Array(CodableTimes.string(from: envelope.time).utf8)))
        headers.append(("ce_rootid", Array(envelope.rootID.rawValue.utf8)))
        if let entry { headers.append(("ce_dataschema", entry.dataSchemaBytes)) }
        if let cause = envelope.causeID { headers.append(("ce_causeid", Array(cause.rawValue.utf8))) }
        if let trace = envelope.traceparent { headers.append(("ce_traceparent", Array(trace.utf8))) }
        for (name, value) in envelope.extensions.sorted(by: { $0.key < $1.key }) {
            headers.append(("ce_" + name, Array(value.utf8)))
        }
        return headers
    }

    // The same in every record, so that each shares their bytes.
    private static let contentTypeBytes = Array("application/json".utf8)
    private static let prefix = Array("ce_".utf8)
    private static let specversionBytes = Array("1.0".utf8)

    /// Reads a record of `topic`, in binary or structured mode. The payload is not decoded yet.
    ///
    /// - Parameter recordTime: stands in for an event without a time of its own.
    /// - Throws: ``EventFault`` naming the attribute at fault.
    public static func decode(
        headers: [(name: String, value: [UInt8])], body: [UInt8], topic: String, recordTime: Date
    ) throws(EventFault) -> EncodedEvent {
        var attributes = EventAttributes()
        var contentType = ""
        for (given, value) in headers {
            let name = given.utf8.allSatisfy { $0 < 0x41 || ($0 > 0x5A && $0 < 0x80) } ? given : given.lowercased()
            let isContentType = name == "content-type"
            guard isContentType || name.utf8.starts(with: Self.prefix) else { continue }
            // The general check is not specialised in the library, and costs more than all else done to a header.
            let isPlain = value.allSatisfy { $0 < 0x80 }
            guard let text = isPlain ? String(decoding: value, as: UTF8.self) : String(validating: value, as: UTF8.self)
            else { throw EventFault(.notAnEvent, "header `\(name)` is not UTF-8") }
            if isContentType {
                contentType = text == "application/json" ? text : text.lowercased()
            } else {
                attributes.set(String(decoding: name.utf8.dropFirst(3), as: UTF8.self), text)
            }
        }
        if contentType.hasPrefix("application/cloudevents-batch") {
            throw EventFault(.notAnEvent, "a batch of events in one record is not accepted; send them one by one")
        }
        if contentType.hasPrefix("application/cloudevents") {
            return try decodeStructured(body: body, topic: topic, recordTime: recordTime)
        }
        guard !attributes.isEmpty else {
            throw EventFault(
                .notAnEvent,
                "the record has neither `ce_` headers nor the content-type application/cloudevents+json")
        }
        let type = try attributes.checkedType(topic: topic, spelling: "header `ce_")
        let envelope = try attributes.envelope(type: type, body: body, recordTime: recordTime, spelling: "header `ce_")
        return EncodedEvent(envelope: envelope, body: body)
    }
}

/// The attributes of an event under their CloudEvents names, before they are checked.
struct EventAttributes {
    private var specversion: String?
    private var id: String?
    private var type: String?
    private var source: String?
    private var subject: String?
    private var time: String?
    private var dataschema: String?
    private var causeID: String?
    private var rootID: String?
    private var traceparent: String?
    private var others: [(name: String, text: String)] = []

    private(set) var isEmpty = true

    /// Takes an attribute; of several with one name the first counts.
    mutating func set(_ name: String, _ text: String) {
        isEmpty = false
        switch name {
        case "specversion": specversion = specversion ?? text
        case "id": id = id ?? text
        case "type": type = type ?? text
        case "source": source = source ?? text
        case "subject": subject = subject ?? text
        case "time": time = time ?? text
        case "dataschema": dataschema = dataschema ?? text
        case "causeid": causeID = causeID ?? text
        case "rootid": rootID = rootID ?? text
        case "traceparent": traceparent = traceparent ?? text
        case "datacontenttype": break
        default: if !others.contains(where: { $0.name == name }) { others.append((name, text)) }
        }
    }

    /// The type, which must be the topic's and one that Naura knows.
    func checkedType(topic: String, spelling: String) throws(EventFault) -> EventType {
        let version = try required(specversion, "specversion", spelling)
        guard version == "1.0" else {
            throw EventFault(.notAnEvent, "\(spelling)specversion` is `\(version)`; 1.0 is spoken here")
        }
        let type = EventType(try required(self.type, "type", spelling))
        guard let entry = EventCatalogue.entry(for: type) else {
            throw EventFault(.unknownType, "\(spelling)type` is `\(type)`, which Naura does not know")
        }
        guard type.rawValue == topic else {
            throw EventFault(.unknownType, "\(spelling)type` is `\(type)`, but the topic is `\(topic)`")
        }
        if let schema = dataschema, schema != entry.dataSchema,
            schema.hasPrefix(EventCatalogue.dataSchemaPrefix), !entry.isVersion(schema)
        {
            throw EventFault(
                .schemaViolation, "\(spelling)dataschema` is `\(schema)`, which is no version of `\(entry.dataSchema)`")
        }
        return type
    }

    func envelope(
        type: EventType, body: [UInt8], recordTime: Date, spelling: String
    ) throws(EventFault) -> Envelope {
        let id = EventID(try required(self.id, "id", spelling))
        let source = try required(self.source, "source", spelling)
        var time = recordTime
        if let text = self.time {
            guard let parsed = CodableTimes.date(from: text) else {
                throw EventFault(.notAnEvent, "\(spelling)time` is `\(text)`, which is not an RFC 3339 time")
            }
            time = parsed
        }
        let subject: String
        if let given = try optional(self.subject, "subject", spelling) {
            subject = given
        } else {
            // Foreign publishers may leave it out; the payload says it as well.
            subject = try EventCatalogue.payload(of: type, body: body).subject
        }
        var extensions: [String: String] = [:]
        for (name, text) in others { extensions[name] = try optional(text, name, spelling) }
        return Envelope(
            id: id, type: type, source: source, subject: subject, time: time,
            causeID: try optional(causeID, "causeid", spelling).map(EventID.init(rawValue:)),
            rootID: try optional(rootID, "rootid", spelling).map(EventID.init(rawValue:)),
            traceparent: try optional(self.traceparent, "traceparent", spelling), extensions: extensions)
    }

    /// PostgreSQL's text has no NUL; an id of that kind could never be recorded, nor refused in the ledger.
    private func optional(
        _ text: String?, _ name: String, _ spelling: String
    ) throws(EventFault) -> String? {
        guard let text, !text.isEmpty else { return nil }
        guard text.utf8.count <= 1_024 else {
            throw EventFault(.notAnEvent, "\(spelling)\(name)` is longer than 1,024 bytes")
        }
        guard !text.holdsNUL else {
            throw EventFault(.notAnEvent, "\(spelling)\(name)` contains a NUL character")
        }
        return text
    }

    private func required(_ text: String?, _ name: String, _ spelling: String) throws(EventFault) -> String {
        guard let text = try optional(text, name, spelling) else {
            throw EventFault(.notAnEvent, "\(spelling)\(name)` is missing")
        }
        return text
    }
}

extension String {
    /// Whether U+0000 is among the characters.
    var holdsNUL: Bool {
        utf8.withContiguousStorageIfAvailable { $0.contains(0) } ?? utf8.contains(0)
    }
}
