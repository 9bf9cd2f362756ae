import NauraEvents
import NauraRules
import NauraStage
import NauraStore

/// An alert fired or was resolved. Windows that closed without one are told by no event.
struct RetoldDrift: Retelling {
    static let origins: [StageName] = ["close-window"]

    func apply(_ event: Event<DriftAlert>, in work: borrowing Work) async throws -> Retold {
        let alert = event.payload
        guard let kind = AlertKind(rawValue: alert.kind.rawValue) else { return .told }
        let model = alert.model.rawValue
        let isFiring = try await Alerts.isFiring(kind, model: model, in: work.transaction)
        switch alert.state {
        case .firing:
            guard !isFiring else { return .later("an earlier alert of \(model) stands") }
            try await Alerts.open(
                kind,
                window: WindowID(
                    model: model, version: alert.version, start: alert.window.from, end: alert.window.to),
                columns: alert.columns.map {
                    WindowStatistics.Column(
                        name: $0.name, method: $0.method, statistic: $0.statistic, threshold: $0.threshold,
                        p: $0.pValue ?? 1, isDrifted: true)
                }, standing: DriftHysteresis(isFiring: true), event: event.id.rawValue, in: work.transaction)
        case .resolved:
            guard isFiring else { return .later("no alert of \(model) stands") }
            try await Alerts.update(
                kind, model: model, standing: DriftHysteresis(), isResolved: true, in: work.transaction)
        }
        return .told
    }
}
