// Where traces go: OpenTelemetry's own environment variables.

import Configuration
import Foundation

/// Where spans are sent. None of these variables set: nothing is sent, and nothing is collected.
///
/// | variable | type | default |
/// | --- | --- | --- |
/// | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | the whole address | none |
/// | `OTEL_EXPORTER_OTLP_ENDPOINT` | an address to which `/v1/traces` is added | none |
/// | `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS` | `name=value,…`, percent-encoded | none |
public struct TraceConfiguration: Sendable {
    let endpoint: String
    let headers: [(name: String, value: String)]
    /// Spans that wait at most; the newest are dropped beyond.
    var queueSpansMax = 16_384
    /// Spans a request holds at most.
    var batchSpansMax = 512
    var interval: Duration = .seconds(1)

    /// Reads `config`, which must not be scoped to Naura's own variables; nil when no endpoint is configured.
    /// - Throws: ``ConfigurationFault`` with every fault at once.
    public init?(_ config: ConfigReader) throws {
        func text(_ key: ConfigKey, isSecret: Bool = false) -> String? {
            config.string(forKey: key, isSecret: isSecret).flatMap { $0.isEmpty ? nil : $0 }
        }
        let whole = text("otel.exporter.otlp.traces.endpoint")
        let base = text("otel.exporter.otlp.endpoint").map { ($0.hasSuffix("/") ? $0 : $0 + "/") + "v1/traces" }
        guard let endpoint = whole ?? base else { return nil }
        var faults: [String] = []
        let scheme = URL(string: endpoint).flatMap { $0.host?.isEmpty == false ? $0.scheme : nil }
        if scheme != "http" && scheme != "https" {
            faults.append("OTEL_EXPORTER_OTLP_ENDPOINT: expected an http or https address, found \(endpoint)")
        }
        if text("otel.exporter.otlp.traces.protocol") ?? text("otel.exporter.otlp.protocol") == "grpc" {
            faults.append(
                "OTEL_EXPORTER_OTLP_PROTOCOL: grpc is not spoken here; the collector's http port takes http/json")
        }
        self.endpoint = endpoint
        var headers: [(name: String, value: String)] = []
        let given =
            text("otel.exporter.otlp.traces.headers", isSecret: true)
            ?? text("otel.exporter.otlp.headers", isSecret: true) ?? ""
        for pair in given.split(separator: ",") {
            let parts = pair.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            let isName = parts.first?.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }
            guard parts.count == 2, isName == true, !parts[0].isEmpty, let value = parts[1].removingPercentEncoding
            else {
                // Not the value, which may be a secret.
                faults.append("OTEL_EXPORTER_OTLP_HEADERS: expected name=value,name=value")
                continue
            }
            headers.append((parts[0], value))
        }
        self.headers = headers
        guard faults.isEmpty else { throw ConfigurationFault(faults: faults) }
    }
}
