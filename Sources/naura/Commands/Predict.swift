import ArgumentParser
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// `naura predict MODEL`.
struct Predict: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Asks the gateway for a prediction, and prints its answer.",
        discussion: """
            Either with the features themselves (one object with every feature of naura.yaml, null where unknown; an \
            array of such objects; or a whole request), or with the key of an entity whose features the online store knows. Exit code 1 when the gateway refuses, and why.

            Examples:
              naura predict flights --json '{"distance": 719, "carrier": "UA", "hour": 17}'
              naura predict churn --key 0002-ORFBO
            """)

    @Argument(help: "The model.") var model: String
    @Option(help: "Features as JSON, @FILE, or - for standard input.") var json: String?
    @Option(help: "Instead: the entity's key.") var key: String?
    @Option(help: "The unit that a canary splits by; else the gateway takes its column, or a random one.")
    var unit: String?

    func validate() throws {
        guard (json == nil) != (key == nil) else { throw ValidationError("give either --json or --key") }
    }

    func run() async throws {
        let settings = try Settings.current()
        let gateway = try settings.gateway()
        var request: HTTPClientRequest
        if let key {
            request = HTTPClientRequest(url: "\(gateway)/predict/\(model)")
            let body = try JSONSerialization.data(withJSONObject: ["key": key])
            request.body = .bytes(ByteBuffer(bytes: body))
        } else {
            request = HTTPClientRequest(url: "\(gateway)/v1/models/\(model):predict")
            request.body = .bytes(ByteBuffer(bytes: Predict.instances(try Outgoing.read(json ?? "-"))))
        }
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        if let unit { request.headers.add(name: "x-naura-unit", value: unit) }
        if let token = settings.token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let text = String(buffer: try await response.body.collect(upTo: 64 << 20))
            .trimmingCharacters(in: .whitespacesAndNewlines)
        guard (200..<300).contains(Int(response.status.code)) else {
            throw CommandError(.badAnswer, "the gateway answered \(response.status.code): \(text)")
        }
        Terminal.print(text)
    }

    /// A whole request from what was given: an object becomes the one instance, an array all instances. What is no JSON
    /// is sent as it is, so that the gateway's own words say what is wrong with it.
    private static func instances(_ given: [UInt8]) -> [UInt8] {
        let text = String(decoding: given, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        if text.hasPrefix("[") { return Array("{\"instances\":\(text)}".utf8) }
        let isWhole = ["\"instances\"", "\"inputs\"", "\"dataframe_split\"", "\"dataframe_records\""]
            .contains { text.contains($0) }
        guard text.hasPrefix("{"), !isWhole else { return given }
        return Array("{\"instances\":[\(text)]}".utf8)
    }
}
