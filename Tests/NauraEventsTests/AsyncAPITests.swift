import NauraSchemas
import Testing
import Yams

@testable import NauraEvents

@Suite("schemas/asyncapi.yaml")
struct AsyncAPITests {
    let document: [String: Any]

    init() throws {
        let text = try #require(EmbeddedFiles.text("asyncapi.yaml"))
        document = try #require(try Yams.load(yaml: text) as? [String: Any])
    }

    private func section(_ path: String...) throws -> [String: Any] {
        try path.reduce(document) { node, name in try #require(node[name] as? [String: Any]) }
    }

    @Test("it is AsyncAPI 3")
    func version() { #expect(document["asyncapi"] as? String == "3.0.0") }

    @Test("its channels are the catalogue's topics, each with the message of that name")
    func channels() throws {
        let channels = try section("channels")
        #expect(Set(channels.keys) == Set(EventCatalogue.types.map(\.rawValue)))
        for entry in EventCatalogue.entries {
            let name = entry.type.rawValue
            let channel = try #require(channels[name] as? [String: Any])
            #expect(channel["address"] as? String == name)
            #expect(channel["description"] as? String == entry.summary)
            let messages = try #require(channel["messages"] as? [String: [String: String]])
            #expect(messages == [name: ["$ref": "#/components/messages/\(name)"]])
        }
    }

    @Test("its messages name the catalogue's schema files and Kafka keys")
    func messages() throws {
        let messages = try section("components", "messages")
        #expect(messages.count == EventCatalogue.entries.count)
        for entry in EventCatalogue.entries {
            let message = try #require(messages[entry.type.rawValue] as? [String: Any])
            #expect(message["summary"] as? String == entry.summary)
            let payload = try #require(message["payload"] as? [String: Any])
            #expect(payload["schema"] as? [String: String] == ["$ref": "./\(entry.schemaFile)"])
            let bindings = try #require(message["bindings"] as? [String: [String: Any]])
            let key = try #require(bindings["kafka"]?["key"] as? [String: String])
            #expect(key["description"] == "The payload's `\(entry.keyField)`.")
        }
    }

    @Test("its operations are the catalogue's producers and consumers")
    func operations() throws {
        var expected: Set<[String]> = []
        for entry in EventCatalogue.entries {
            for name in entry.producers { expected.insert([name, "send", "#/channels/\(entry.type)"]) }
            for name in entry.consumers { expected.insert([name, "receive", "#/channels/\(entry.type)"]) }
        }
        let operations = try section("operations")
        let found = try operations.map { name, value in
            let operation = try #require(value as? [String: Any])
            let program = try #require(operation["x-program"] as? String)
            let action = try #require(operation["action"] as? String)
            let channel = try #require(operation["channel"] as? [String: String])
            let reference = try #require(channel["$ref"])
            #expect(name == "\(program)-\(action)s-\(reference.dropFirst("#/channels/".count))")
            return [program, action, reference]
        }
        #expect(Set(found) == expected)
        #expect(found.count == expected.count)
    }
}
