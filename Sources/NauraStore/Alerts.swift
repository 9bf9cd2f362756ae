import Foundation
import NauraPostgres
import NauraRules

/// What has drifted.
public enum AlertKind: String, Codable, Sendable, CaseIterable {
    /// The inputs.
    case data
    /// The scores.
    case prediction

    /// The member of a window's statistics that says whether it is over the limit.
    var verdictKey: String {
        switch self {
        case .data: "is_data_drifted"
        case .prediction: "is_prediction_drifted"
        }
    }
}

/// Drift alerts: at most one of a kind stands for a model.
public enum Alerts {
    /// Whether an alert of `kind` stands for `model`.
    public static func isFiring(_ kind: AlertKind, model: String, in transaction: Transaction) async throws -> Bool {
        try await transaction.first(
            "select 1 as one from naura.alert where model = \(model) and kind = \(kind) and state = 'firing'") != nil
    }

    /// Opens an alert, unless one of its kind stands.
    public static func open(
        _ kind: AlertKind, window: WindowID, columns: [WindowStatistics.Column], standing: DriftHysteresis,
        event: String, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            insert into naura.alert
                (model, version, kind, state, columns, windows_over, windows_under, event_id, opened_at)
            values (\(window.model), \(window.version), \(kind), 'firing', \(json: columns),
                \(standing.windowsOver), \(standing.windowsUnder), \(event), now())
            on conflict (model, kind) where state = 'firing' do nothing
            """)
    }

    /// Notes how long the standing alert has been over or under the limit, and resolves it when `isResolved`.
    public static func update(
        _ kind: AlertKind, model: String, standing: DriftHysteresis, isResolved: Bool, in transaction: Transaction
    ) async throws {
        try await transaction.execute(
            """
            update naura.alert set windows_over = \(standing.windowsOver), windows_under = \(standing.windowsUnder),
                state = case when \(isResolved) then 'resolved' else state end,
                resolved_at = case when \(isResolved) then now() end
            where model = \(model) and kind = \(kind) and state = 'firing'
            """)
    }
}
