import Foundation
import NauraEvents
import NauraLedger

/// Events in a few words.
enum EventSummary {
    /// Who said it: the worker that publishes this type, `cli` or `api` for what people published by Naura, `outside` for
    /// everybody else.
    static func worker(of row: EventRow) -> String {
        guard row.source.hasPrefix(Envelope.ownSourcePrefix) else { return "outside" }
        let origin = row.source.dropFirst(Envelope.ownSourcePrefix.count)
        if origin == "cli" || origin == "api" { return String(origin) }
        let producers = EventCatalogue.entry(for: EventType(row.type))?.producers ?? []
        return producers.first { !["api", "naura", "outside"].contains($0) } ?? String(origin)
    }

    /// What the event says, without its type. Falls back to the subject when the body is not understood.
    static func text(of logged: LoggedEvent) -> String {
        let payload: any EventPayload
        do {
            payload = try EventCatalogue.payload(of: EventType(logged.row.type), body: logged.body)
        } catch {
            return "\(logged.row.subject) (\(error))"
        }
        switch payload {
        case let payload as NewData: return "\(payload.dataset) at \(payload.uri)"
        case let payload as DataValidated: return "\(payload.dataset), \(counted(payload.rows, "row"))"
        case let payload as DataRejected: return "\(payload.dataset): \(violations(of: logged))"
        case let payload as FeaturesReady: return "\(payload.dataset), \(counted(payload.rows, "row"))"
        case let payload as CodeMerged: return "\(payload.repository) at \(payload.commit.prefix(12))"
        case let payload as RetrainDue: return "\(payload.model): \(why(payload))"
        case let payload as DriftAlert: return "\(payload.model): \(payload.state.rawValue), \(columns(payload))"
        case let payload as ModelTrained: return "\(payload.model) version \(payload.version)"
        case let payload as ModelPromoted:
            return "\(payload.model) version \(payload.version)\(payload.requestedBy.map { " by \($0)" } ?? "")"
        case let payload as ModelRejected:
            let reason = payload.evaluation?.reason ?? payload.reason ?? "no reason given"
            return "\(payload.model) version \(payload.version): \(reason)"
        case let payload as RolloutChanged:
            return "\(payload.model) version \(payload.version): \(payload.state.rawValue)"
        case let payload as GroundTruth: return "\(payload.model), \(counted(payload.items.count, "label"))"
        default: return logged.row.subject
        }
    }

    /// The rules that a `data-rejected` event names, the first three.
    static func violations(of logged: LoggedEvent) -> String {
        do {
            let payload = try EventCatalogue.payload(of: DataRejected.type, body: logged.body)
            guard let rejected = payload as? DataRejected else { return logged.row.subject }
            let messages = rejected.violations.map { $0.message ?? "\($0.rule) in \($0.column ?? "the file")" }
            let more = messages.count > 3 ? " and \(messages.count - 3) more" : ""
            return messages.prefix(3).joined(separator: "; ") + more
        } catch {
            return "\(error)"
        }
    }

    /// `1 row`, `4,930 rows`; `plural` where it is not the noun with an s.
    static func counted(_ count: some BinaryInteger, _ noun: String, _ plural: String? = nil) -> String {
        var digits = String(count)
        var place = digits.count - 3
        while place > 0 {
            digits.insert(",", at: digits.index(digits.startIndex, offsetBy: place))
            place -= 3
        }
        return "\(digits) \(count == 1 ? noun : plural ?? "\(noun)s")"
    }

    private static func why(_ payload: RetrainDue) -> String {
        if let slot = payload.slot { return "the slot of \(CodableTimes.string(from: slot).prefix(16))Z" }
        return "\(payload.requestedBy ?? "someone"): \(payload.reason ?? "no reason given")"
    }

    private static func columns(_ payload: DriftAlert) -> String {
        let worst = payload.columns.sorted { $0.statistic > $1.statistic }.prefix(3).map(\.name)
        return worst.isEmpty ? payload.reason ?? "no column named" : worst.joined(separator: ", ")
    }
}
