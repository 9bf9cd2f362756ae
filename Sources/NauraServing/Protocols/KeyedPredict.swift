import Foundation
import Logging
import NIOCore
import NauraEvents
import NauraModels
import NauraRules
import NauraStore
import Synchronization

/// `POST /predict/NAME`: an entity's key goes in, its features come from the online store.
///
/// `{"customerid": "0001"}` (or `{"key": "0001"}`) → `{"prediction": 0.12, …}`. A row past its view's ttl counts as null.
extension Gateway {
    /// The fields of such a request.
    private struct KeyedRequest {
        var key: String?
        var unit: String?
    }

    /// Answers a prediction by key.
    ///
    /// - Throws: ``Refusal``: 400 for the body, 404 for an entity that the store does not know, 503 while the store does
    ///   not answer; ``JSONFault`` for a body that is no JSON.
    func predictByKey(_ call: Call, body: ByteBuffer) async throws -> Answer {
        guard call.route.champion != nil else {
            throw Refusal.unavailable("no version of the model \(call.route.name) is loaded", retryAfterSeconds: 5)
        }
        let request = try body.withUnsafeReadableBytes { raw in
            try Self.readKeyedRequest(JSONReader(raw.assumingMemoryBound(to: UInt8.self)), call)
        }
        guard let key = request.key else {
            throw Refusal.malformed("the field \(call.route.route.keyColumn ?? "key") is missing")
        }
        let rows = try await onlineRows(call, key: key)
        guard !rows.isEmpty else { throw Refusal(404, "no features are known for this key") }
        let values = Self.values(rows, views: call.route.route.views, now: Date())
        let keyed = Call(
            route: call.route, pinned: call.pinned, unit: call.unit ?? request.unit, startedAt: call.startedAt)
        let choice = try choose(keyed) { nil }
        // The same bytes and the same reader as for a client that sends the features itself.
        let instance = Self.instance(values, columns: choice.arm.columns)
        return try instance.withUnsafeBufferPointer { bytes in
            try answer(keyed, choice, JSONReader(bytes))
        }
    }

    private func answer(_ call: Call, _ choice: Choice, _ start: JSONReader) throws -> Answer {
        var reader = start
        var exchange = exchange(choice)
        let score = try withUnsafeTemporaryAllocation(of: Cell.self, capacity: choice.arm.columns.width) { cells in
            try choice.arm.rows.read(&reader, into: cells, row: 0)
            let score = exchange.score(cells, reader)
            exchange.record(cells, reader, score: score.isFinite ? score : nil, row: nil)
            return score
        }
        settle(call, choice, exchange.scratch, rows: 1, isError: !score.isFinite)
        giveBack(exchange.takeScratch())
        guard score.isFinite else { return modelFailed(call, choice) }
        var answer = Answer.json { bytes in
            bytes.append("{\"prediction\":")
            bytes.appendShortest(score)
            bytes.append(",\"model_name\":")
            bytes.appendJSON(call.route.name)
            bytes.append(",\"model_version\":")
            bytes.appendJSON(choice.arm.versionText)
            bytes.append(",\"arm\":")
            bytes.appendJSON(choice.arm.arm.rawValue)
            bytes.append(",\"prediction_id\":")
            choice.id.append(to: &bytes, row: nil)
            bytes.append(0x7D)
        }
        answer.prediction = (choice.id, choice.arm)
        return answer
    }

    /// Reads the online store, within the time and the number of reads that are allowed.
    private func onlineRows(_ call: Call, key: String) async throws -> [OnlineRow] {
        guard let features, !call.route.route.views.isEmpty else {
            throw Refusal(404, "the model \(call.route.name) has no online features")
        }
        guard counters.keyedInFlight.add(1, ordering: .relaxed).newValue <= configuration.keyedInFlightMax else {
            counters.keyedInFlight.subtract(1, ordering: .relaxed)
            throw Refusal.unavailable("too many predictions by key are waiting for the online store")
        }
        defer { counters.keyedInFlight.subtract(1, ordering: .relaxed) }
        let views = call.route.route.views.map(\.id)
        do {
            return try await withDeadline(configuration.featureReadMax) {
                try await features.rows(of: views, key: key)
            }
        } catch {
            logger.debug("The online store did not answer", metadata: ["error": "\(error)"])
            throw Refusal.unavailable("the online store does not answer")
        }
    }

    private static func readKeyedRequest(_ start: JSONReader, _ call: Call) throws -> KeyedRequest {
        var reader = start
        var request = KeyedRequest()
        let keyColumn = call.route.route.keyColumn
        guard try reader.take(0x7B) else { throw Refusal.malformed("expected an object with the entity's key") }
        if try !reader.take(0x7D) {
            repeat {
                let name = reader.string(try reader.name())
                guard name == keyColumn || name == "key" || name == call.route.route.unit else {
                    let shown = name.count <= 100 ? name : String(name.prefix(100)) + "…"
                    throw Refusal.malformed("there is no field \(shown); the key is \(keyColumn ?? "key")")
                }
                guard let value = try reader.cell().flatMap({ reader.identity($0) }), !value.isEmpty else {
                    throw Refusal.malformed("the field \(name) is neither text nor a number")
                }
                if name == keyColumn || name == "key" {
                    guard request.key == nil else { throw Refusal.malformed("the key stands twice") }
                    request.key = value
                }
                if name == call.route.route.unit { request.unit = value }
            } while try reader.takeNext(orEnd: 0x7D)
        }
        try reader.end()
        return request
    }

    /// A stored value, as the JSON of an instance.
    private enum StoredValue {
        case number(Double)
        case text(String)
    }

    /// Features by name; what is null, out of date, or no float32 is left out.
    private static func values(_ rows: [OnlineRow], views: [ServedView], now: Date) -> [String: StoredValue] {
        var values: [String: StoredValue] = [:]
        for view in views {
            guard let row = rows.first(where: { $0.viewID == view.id }) else { continue }
            if let ttl = view.ttlSeconds, now.timeIntervalSince(row.eventAt) > ttl { continue }
            var numbers = row.numbers.makeIterator()
            var texts = row.texts.makeIterator()
            for feature in view.features {
                switch feature.type {
                case .number:
                    if let value = numbers.next() ?? nil, Float(value).isFinite {
                        values[feature.name] = .number(value)
                    }
                case .text:
                    if let value = texts.next() ?? nil { values[feature.name] = .text(value) }
                }
            }
        }
        return values
    }

    private static func instance(_ values: [String: StoredValue], columns: ColumnTable) -> [UInt8] {
        var bytes: [UInt8] = [0x7B]
        for (position, feature) in columns.features.enumerated() {
            if position > 0 { bytes.append(0x2C) }
            bytes.appendJSON(feature.name)
            bytes.append(0x3A)
            switch (values[feature.name], feature.type) {
            case (.number(let number)?, .number): bytes.appendShortest(number)
            case (.text(let text)?, .text): bytes.appendJSON(text)
            // A feature whose type has changed since the version was trained is as good as not known.
            default: bytes.append("null")
            }
        }
        bytes.append(0x7D)
        return bytes
    }
}

/// The read took longer than it may.
struct DeadlinePassed: Error {}

/// Runs `body`, and cancels it when it takes longer than `limit`.
func withDeadline<R: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () async throws -> R) async throws -> R {
    try await withThrowingTaskGroup(of: R.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await ContinuousClock().sleep(for: limit)
            throw DeadlinePassed()
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw DeadlinePassed() }
        return first
    }
}
