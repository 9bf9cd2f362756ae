import NauraEvents
import NauraModels
import NauraStore

/// One version that is ready to answer on one arm of a route.
final class LoadedArm: Sendable {
    let arm: Arm
    let version: Int
    let model: ServedModel
    let encoder: RowEncoder
    let rows: RowReader
    let metrics: ArmMetrics
    /// `],"model_name":…,"model_version":…,"arm":…,"prediction_ids":[`, what follows the scores in an answer.
    let answerTail: [UInt8]
    /// `"version":…,"arm":…,"features":{`, what follows id and unit in a record.
    let recordHead: [UInt8]
    /// The version as a JSON text, without its quotes: header and v2 answers.
    let versionText: String

    /// - Parameter other: features of the route's other arm, which a row may have too.
    init(
        _ arm: Arm, version: RoutedVersion, model: ServedModel, route: ServedRoute, other: ServedModel?,
        metrics: ArmMetrics
    ) {
        self.arm = arm
        self.version = version.version
        self.model = model
        self.metrics = metrics
        encoder = RowEncoder(model.encoder)
        rows = RowReader(
            columns: ColumnTable(
                features: model.signature.inputs, unit: route.unit, key: route.keyColumn,
                other: other?.signature.inputs.map(\.name) ?? []))
        versionText = String(version.version)
        var tail: [UInt8] = []
        tail.append("],\"model_name\":")
        tail.appendJSON(route.model)
        tail.append(",\"model_version\":")
        tail.appendJSON(versionText)
        tail.append(",\"arm\":")
        tail.appendJSON(arm.rawValue)
        tail.append(",\"prediction_ids\":[")
        answerTail = tail
        var head: [UInt8] = []
        head.append(",\"version\":")
        head.appendDecimal(version.version)
        head.append(",\"arm\":")
        head.appendJSON(arm.rawValue)
        head.append(",\"features\":{")
        recordHead = head
    }

    var columns: ColumnTable { rows.columns }
}
