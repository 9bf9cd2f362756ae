import Foundation
import Testing

@testable import NauraEvents

@Suite("CloudEvents on Kafka")
struct CodecTests {
    static let recordTime = Date(timeIntervalSince1970: 1_790_000_000)
    static let body = Array(#"{"dataset":"customers","uri":"file:///a.csv"}"#.utf8)

    static func headers(_ changes: [String: String?] = [:]) -> [(name: String, value: [UInt8])] {
        var headers: [String: String] = [
            "content-type": "application/json", "ce_specversion": "1.0", "ce_id": "1", "ce_type": "new-data",
            "ce_source": "/nightly", "ce_subject": "customers", "ce_time": "2026-11-24T06:50:49.123456+01:00",
        ]
        for (name, value) in changes { headers[name] = value }
        return headers.map { ($0.key, Array($0.value.utf8)) }
    }

    static func decode(_ changes: [String: String?] = [:]) throws(EventFault) -> EncodedEvent {
        try EncodedEvent.decode(headers: headers(changes), body: body, topic: "new-data", recordTime: recordTime)
    }

    @Test("an event written in binary mode reads back the same, to the microsecond")
    func binaryRoundTrip() throws {
        let envelope = Envelope(
            id: "abc", type: "new-data", source: "/naura/api", subject: "customers",
            time: try #require(CodableTimes.date(from: "2026-11-24T05:50:49.123456Z")), causeID: "cause",
            rootID: "root", traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            extensions: ["tenant": "acme"])
        let event = try EncodedEvent(NewData(dataset: "customers", uri: "file:///a.csv"), envelope: envelope)
        let read = try EncodedEvent.decode(
            headers: event.headers, body: event.body, topic: "new-data", recordTime: Self.recordTime)
        #expect(read == event)
        #expect(try Event<NewData>(read).payload.format == .csv)
    }

    @Test("an event written in structured mode reads back the same")
    func structuredRoundTrip() throws {
        let event = try EncodedEvent(
            RetrainDue(model: "churn", requestedBy: "maha", reason: "new labels"), id: "7", source: "/naura/cli",
            time: try #require(CodableTimes.date(from: "2026-11-24T05:50:49.000001Z")))
        let read = try EncodedEvent.decode(
            headers: [("content-type", Array("application/cloudevents+json; charset=utf-8".utf8))],
            body: try event.structured(), topic: "retrain-due", recordTime: Self.recordTime)
        #expect(read == event)
    }

    @Test("structured data may come in base 64")
    func structuredBase64() throws {
        let encoded = Data(Self.body).base64EncodedString()
        let text = #"""
            {"specversion":"1.0","id":"1","type":"new-data","source":"/x","data_base64":"\#(encoded)"}
            """#
        let read = try EncodedEvent.decode(
            headers: [("Content-Type", Array("application/cloudevents+json".utf8))], body: Array(text.utf8),
            topic: "new-data", recordTime: Self.recordTime)
        #expect(read.body == Self.body)
        #expect(read.envelope.subject == "customers")
        #expect(read.envelope.time == Self.recordTime)
    }

    @Test("an event without subject, time or root takes them from payload, record and itself")
    func defaults() throws {
        let envelope = try Self.decode(["ce_subject": nil, "ce_time": nil]).envelope
        #expect(envelope.subject == "customers")
        #expect(envelope.time == Self.recordTime)
        #expect(envelope.rootID == "1")
        #expect(envelope.causeID == nil)
    }

    @Test("a time with an offset is the moment it names")
    func offsetTime() throws {
        let time = try Self.decode().envelope.time
        #expect(CodableTimes.string(from: time) == "2026-11-24T05:50:49.123456Z")
    }

    struct Broken: Sendable, CustomTestStringConvertible {
        let changes: [String: String?]
        let code: EventFault.Code
        let message: String
        var testDescription: String { message }
    }

    @Test(
        "a record without valid attributes says which one is at fault",
        arguments: [
            Broken(changes: ["ce_id": nil], code: .notAnEvent, message: "header `ce_id` is missing"),
            Broken(changes: ["ce_id": ""], code: .notAnEvent, message: "header `ce_id` is missing"),
            Broken(changes: ["ce_source": nil], code: .notAnEvent, message: "header `ce_source` is missing"),
            Broken(changes: ["ce_specversion": nil], code: .notAnEvent, message: "header `ce_specversion` is missing"),
            Broken(
                changes: ["ce_specversion": "0.3"], code: .notAnEvent,
                message: "header `ce_specversion` is `0.3`; 1.0 is spoken here"),
            Broken(
                changes: ["ce_type": "nothing"], code: .unknownType,
                message: "header `ce_type` is `nothing`, which Naura does not know"),
            Broken(
                changes: ["ce_type": "retrain-due"], code: .unknownType,
                message: "header `ce_type` is `retrain-due`, but the topic is `new-data`"),
            Broken(
                changes: ["ce_time": "today"], code: .notAnEvent,
                message: "header `ce_time` is `today`, which is not an RFC 3339 time"),
            Broken(
                changes: ["ce_id": "a\u{0}b"], code: .notAnEvent, message: "header `ce_id` contains a NUL character"),
            Broken(
                changes: ["ce_dataschema": "urn:naura:schema:retrain-due:v1"], code: .schemaViolation,
                message: "header `ce_dataschema` is `urn:naura:schema:retrain-due:v1`, which is no version of "
                    + "`urn:naura:schema:new-data:v1`"),
            Broken(
                changes: ["content-type": "application/cloudevents-batch+json"], code: .notAnEvent,
                message: "a batch of events in one record is not accepted; send them one by one"),
        ])
    func brokenAttributes(broken: Broken) {
        let fault = #expect(throws: EventFault.self) { try Self.decode(broken.changes) }
        #expect(fault == EventFault(broken.code, broken.message))
    }

    @Test("a record without any attribute is no event")
    func plainRecord() {
        let fault = #expect(throws: EventFault.self) {
            try EncodedEvent.decode(headers: [], body: Self.body, topic: "new-data", recordTime: Self.recordTime)
        }
        #expect(fault?.code == .notAnEvent)
    }

    @Test("a header that is no UTF-8 is named")
    func notUTF8() {
        let fault = #expect(throws: EventFault.self) {
            try EncodedEvent.decode(
                headers: [("ce_id", [0xFF])], body: Self.body, topic: "new-data", recordTime: Self.recordTime)
        }
        #expect(fault?.message == "header `ce_id` is not UTF-8")
    }

    @Test("derived ids repeat, and differ in every part and where one part ends")
    func derivedIDs() {
        let id = EventID.derived(stage: "train", type: "model-trained", subject: "churn", about: "7")
        #expect(id == EventID.derived(stage: "train", type: "model-trained", subject: "churn", about: "7"))
        #expect(id.rawValue.count == 32)
        let others = [
            EventID.derived(stage: "promote", type: "model-trained", subject: "churn", about: "7"),
            EventID.derived(stage: "train", type: "model-promoted", subject: "churn", about: "7"),
            EventID.derived(stage: "train", type: "model-trained", subject: "churn7", about: ""),
            EventID.derived(stage: "train", type: "model-trained", subject: "churn", about: "8"),
        ]
        #expect(Set(others + [id]).count == 5)
        #expect(id == "c0f330f592fcad80e3f26014c49ef902")
    }

    @Test("the same id of two foreign sources is two events, and Naura's own are known by id alone")
    func identities() {
        func identity(_ source: String) -> UUID {
            Envelope(id: "1", type: "new-data", source: source, subject: "s", time: .distantPast).identity
        }
        #expect(identity("/a") != identity("/b"))
        #expect(identity("/naura/api") == identity("/naura/cli"))
    }

    @Test("an event asked for as another type is refused")
    func wrongPayloadType() throws {
        let event = try Self.decode()
        #expect(throws: EventFault(.unknownType, "expected an event of type retrain-due, found new-data")) {
            try event.payload(as: RetrainDue.self)
        }
    }
}
