// One partition of one topic, handled in order: take the stream, send the unsent tail, then batch after batch.

import Foundation
import Logging
import NauraEvents
import NauraFailpoints
import NauraKafka
import NauraLedger
import NauraPostgres
import Synchronization

/// What the loops of one worker share.
struct LoopContext: Sendable {
    let instance: String
    let database: Database
    let producer: KafkaProducer
    let consumer: KafkaConsumer
    let metrics: Metrics
    let logger: Logger
    let settings: StageSettings
    /// Nil while no traces are exported.
    var tracer: Tracer?
}

/// Limits of the partition loops.
struct StageSettings: Sendable {
    /// Events a transaction holds at most. Above 1,000 nothing is gained; 100 costs visibly more.
    var batchEventsMax = 500
    /// Failed tries of one event before it becomes a dead letter.
    var triesMax = 5
    /// Outgoing events that may wait for their delivery before the loop waits.
    var unsentEventsMax = 4_000
}

/// Handles the records of one partition, one batch a transaction, until the partition is revoked or the task cancelled.
///
/// An offset is committed only after its transaction; a failure of one event is its own; a lost database is waited for.
final class PartitionLoop: Sendable {
    private let stage: any StageHandling
    private let source: KafkaPartition
    private let context: LoopContext
    private let relay: PartitionRelay
    private let settled = Mutex<Int64?>(nil)
    private let isOver = Mutex(false)
    private let commits = Signal()

    init(stage: any StageHandling, source: KafkaPartition, context: LoopContext) {
        self.stage = stage
        self.source = source
        self.context = context
        relay = PartitionRelay(
            name: Streams.name(
                stage: stage.name, topic: source.topicPartition.topic, partition: source.topicPartition.partition),
            context: context)
    }

    /// The broker came back empty: the stream's tail, which is everything kept, is sent again.
    func retake() { relay.retake() }

    /// - Throws: what neither waiting nor a dead letter cures. Nothing is lost then: offsets and streams stand where the
    ///   last transaction left them; but the partition must not be read on, for an event of it is unsettled.
    func run() async throws {
        let logger = context.logger.with(["stage": "\(stage.name)", "partition": "\(source.topicPartition)"])
        do {
            try await relay.take()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { [relay] in try await relay.run() }
                group.addTask { [self] in await commitOffsets(logger: logger) }
                group.addTask { [self] in
                    defer {
                        isOver.withLock { $0 = true }
                        commits.send()
                        relay.finish()
                    }
                    try await handleAll(logger: logger)
                }
                try await group.waitForAll()
            }
            try await relay.release()
        } catch is CancellationError {
            logger.debug("partition loop was cancelled")
        }
    }

    private func handleAll(logger: Logger) async throws {
        var suspects = relay.held.wasClean ? 0 : context.settings.batchEventsMax
        // After a broker that came back empty they may stand anywhere in the partition, not among its first records.
        var tried = try await context.patiently { try await Attempts.open(for: stage.name, in: context.database) }
        while let records = await source.next(max: context.settings.batchEventsMax) {
            try Task.checkCancellation()
            let opened = records.map { open($0) }
            let keys = tried.isEmpty ? [] : tried.intersection(opened.compactMap { $0.key?.key })
            if suspects > 0 || !keys.isEmpty {
                // The previous owner died with an event open. Whichever it was is tried alone, its try on record.
                suspects -= records.count
                for item in opened { try await settleSuspect(item, logger: logger) }
                tried.subtract(keys)
            } else {
                try await settle(opened, logger: logger)
            }
            try await relay.waitForRoom()
            if let last = records.last { settled.withLock { $0 = last.offset + 1 } }
            commits.send()
        }
    }

    /// Commits offsets behind the batches, the latest at a time, so that no batch waits for the broker's answer.
    private func commitOffsets(logger: Logger) async {
        var committed: Int64?
        while true {
            let (offset, isOver) = (settled.withLock { $0 }, isOver.withLock { $0 })
            if let offset, offset != committed {
                do {
                    Failpoint.offsetCommitting.reach()
                    try await context.consumer.commit([source.topicPartition: offset])
                    Failpoint.offsetCommitted.reach()
                } catch {
                    // Read again from the last commit, and skipped by the inbox.
                    logger.debug("an offset was not committed", metadata: ["error": "\(error)"])
                }
                committed = offset
            } else if isOver || Task.isCancelled {
                return
            } else {
                await commits.wait()
            }
        }
    }

    // MARK: - One batch

    /// - Parameter retries: the spans of tries that failed before.
    private func settle(_ items: [Opened], retries: [String] = [], logger: Logger) async throws {
        var (tries, retries) = (0, retries)
        while true {
            let began = Date()
            do {
                try await commit(items, retries: retries)
                return
            } catch {
                switch Failure(error) {
                case .cancelled:
                    throw CancellationError()
                case .streamLost:
                    context.metrics.count("naura_zombie_writes_refused_total", ["stage": "\(stage.name)"])
                    logger.warning("another owner had the stream; taking it again")
                    try await relay.take()
                case .transient:
                    // Waiting for database or broker is no try.
                    logger.warning("waiting for the database", metadata: ["error": "\(error)"])
                    try await context.database.waitUntilAvailable()
                    try await Task.sleep(for: .milliseconds(100))
                case .event:
                    guard items.count == 1, let item = items.first else {
                        // One fails alone and never takes its neighbours down.
                        for item in items { try await settle([item], logger: logger) }
                        return
                    }
                    tries += 1
                    if let tracer = context.tracer, let event = item.event {
                        retries.append(
                            tracer.failed(
                                event.encoded.envelope, at: stage.name, attempt: "\(relay.held.epoch).\(tries)",
                                start: began, failure: "\(error)"))
                    }
                    if item.event == nil {
                        // Not even the dead letter could be written. It must not be lost, so the partition waits.
                        logger.error("a dead letter could not be filed", metadata: ["error": "\(error)"])
                        try await Task.sleep(for: .seconds(min(tries, 10)))
                        continue
                    }
                    if bury(after: error, tries: tries) {
                        try await settle(
                            [item.buried(by: error, tries: tries, at: stage.name)], retries: retries, logger: logger)
                        return
                    }
                    logger.warning(
                        "event failed and is tried again",
                        metadata: ["event": "\(item.eventID)", "try": "\(tries)", "error": "\(error)"])
                    try await Task.sleep(for: .milliseconds(50 << min(tries * 2, 8)))
                }
            }
        }
    }

    private func settleSuspect(_ item: Opened, logger: Logger) async throws {
        guard case .event(let event, _) = item else {
            return try await settle([item], logger: logger)
        }
        try await ensureDays([event.key.day])
        let deaths = try await context.patiently {
            try await Attempts.begin(event.key, for: stage.name, in: context.database)
        }
        Failpoint.suspectCounted.reach()
        if deaths > Attempts.deathsMax {
            let reason = Rejection(
                "\(deaths - 1) workers in a row died with this event open", code: "killed-worker")
            return try await settle([item.buried(by: reason, tries: deaths, at: stage.name)], logger: logger)
        }
        try await settle([item.asSuspect()], logger: logger)
    }

    /// Whether `error` ends the event's tries.
    private func bury(after error: any Error, tries: Int) -> Bool {
        error is Rejection || error is EventFault || tries >= context.settings.triesMax
    }

    private func commit(_ items: [Opened], retries: [String]) async throws {
        let events = items.compactMap(\.event)
        try await ensureDays(Set(items.compactMap { $0.key?.day }))
        let sheet = context.tracer.map(SpanSheet.init)
        let said = try await context.database.transaction { transaction in
            Failpoint.batchOpened.reach()
            let keys = items.compactMap(\.key)
            var fresh = keys.isEmpty ? [] : try await Inbox.claim(keys, for: stage.name, in: transaction)
            Failpoint.batchClaimed.reach()
            let batch = Batch(transaction: transaction, sheet: sheet)
            // The first of equal keys is handled, later ones of this batch were handled by it.
            let new = events.filter { fresh.remove($0.key.key) != nil }
            if !new.isEmpty {
                let taken = try await ForeignEvents.record(
                    new.map(\.encoded).filter { !$0.envelope.isOwn }, in: transaction)
                if let (id, source) = taken.first {
                    throw Rejection(
                        """
                        the id \(id) came before from the source \(source), and what follows from the two would be taken for one: \
                        publish it under an id that no other source uses
                        """, code: "id-taken")
                }
                try await stage.handle(new, in: batch)
                sheet?.handled(new, at: stage.name, retries: retries)
            }
            Failpoint.batchHandled.reach()
            for item in items where item.isRemarkable {
                try await file(item, fresh: &fresh, retries: retries, in: batch)
            }
            let said = try await relay.append(batch)
            Failpoint.batchWritten.reach()
            return said
        }
        Failpoint.batchCommitted.reach()
        sheet?.commit()
        relay.enqueue(said)
        context.metrics.count("naura_events_handled_total", ["stage": "\(stage.name)"], by: Double(items.count))
    }

    /// Files the dead letters among the items, and forgets tries that ended well.
    private func file(
        _ item: Opened, fresh: inout Set<UUID>, retries: [String], in batch: Batch
    ) async throws {
        switch item {
        case .event(let event, let isSuspect):
            if isSuspect { try await Attempts.forget(event.key, for: stage.name, in: batch.transaction) }
        case .dead(let letter, let key, let envelope):
            if let key {
                try await Attempts.forget(key, for: stage.name, in: batch.transaction)
                guard fresh.remove(key.key) != nil else { return }
            }
            guard let filed = try await DeadLetters.file(letter, in: batch.transaction) else { return }
            Failpoint.deadLetterFiled.reach()
            context.metrics.count("naura_dead_letters_total", ["stage": "\(stage.name)", "code": letter.code])
            context.logger.error(
                "an event became a dead letter",
                metadata: [
                    "stage": "\(stage.name)", "event": "\(letter.eventID?.rawValue ?? "none")",
                    "code": "\(letter.code)", "reason": "\(letter.message)",
                ])
            if let envelope {
                batch.outgoing.sheet?.buried(
                    envelope, at: stage.name, reason: "\(letter.code): \(letter.message)", retries: retries)
            }
            let work = Work(batch, origin: stage.name, cause: envelope)
            try await work.emit(
                DeadLetter(letter),
                about: filed.about(letter.eventID?.rawValue ?? "\(source.topicPartition) \(letter.offset ?? 0)"))
        }
    }

    private func ensureDays(_ days: Set<Int>) async throws {
        let unknown = days.subtracting(context.metrics.knownInboxDays)
        guard !unknown.isEmpty else { return }
        try await Inbox.ensure(days: unknown.sorted(), in: context.database)
        Failpoint.inboxDayMade.reach()
        context.metrics.know(inboxDays: unknown)
    }

    // MARK: - Reading records

    private func open(_ record: KafkaRecord) -> Opened {
        do throws(EventFault) {
            let encoded = try EncodedEvent.decode(
                headers: record.headers, body: record.value, topic: record.topic, recordTime: record.timestamp)
            do throws(EventFault) {
                try Inbox.check(encoded.envelope.time, now: Date())
                let payload = try stage.decode(encoded)
                return .event(
                    OpenedEvent(encoded: encoded, payload: payload), isSuspect: false)
            } catch {
                return .dead(letter(for: record, envelope: encoded.envelope, fault: error), nil, encoded.envelope)
            }
        } catch {
            return .dead(letter(for: record, envelope: nil, fault: error), nil, nil)
        }
    }

    private func letter(for record: KafkaRecord, envelope: Envelope?, fault: EventFault) -> DeadLetterRow {
        DeadLetterRow(
            stage: stage.name, eventID: envelope?.id, rootID: envelope?.rootID, topic: record.topic,
            partition: record.partition, offset: record.offset, key: record.key, headers: record.headers,
            body: record.value, code: "\(fault.code)", message: fault.message, tries: 1)
    }
}

/// What became of a record so far.
enum Opened: Sendable {
    /// `isSuspect`: its try is on record, for a worker may have died of it.
    case event(OpenedEvent, isSuspect: Bool)
    case dead(DeadLetterRow, InboxKey?, Envelope?)

    var event: OpenedEvent? { if case .event(let event, _) = self { event } else { nil } }

    /// Whether there is more to it than being handled.
    var isRemarkable: Bool { if case .event(_, isSuspect: false) = self { false } else { true } }

    var key: InboxKey? {
        switch self {
        case .event(let event, _): event.key
        case .dead(_, let key, _): key
        }
    }

    var eventID: String {
        switch self {
        case .event(let event, _): event.encoded.envelope.id.rawValue
        case .dead(let letter, _, _): letter.eventID?.rawValue ?? "none"
        }
    }

    func asSuspect() -> Opened {
        if case .event(let event, _) = self { .event(event, isSuspect: true) } else { self }
    }

    /// The same event as a dead letter, for `error`.
    func buried(by error: any Error, tries: Int, at stage: StageName) -> Opened {
        guard case .event(let event, _) = self else { return self }
        let envelope = event.encoded.envelope
        let (code, message) =
            switch error {
            case let rejection as Rejection: (rejection.code, rejection.message)
            case let fault as EventFault: ("\(fault.code)", fault.message)
            default: ("failed", "\(error)")
            }
        return .dead(
            DeadLetterRow(
                stage: stage, eventID: envelope.id, rootID: envelope.rootID,
                topic: envelope.type.rawValue, key: Array(envelope.subject.utf8), headers: event.encoded.headers,
                body: event.encoded.body, code: code, message: message, tries: tries),
            event.key, envelope)
    }
}

/// How the loop takes an error.
enum Failure {
    case cancelled, streamLost, transient, event

    init(_ error: any Error) {
        if error is CancellationError { self = .cancelled; return }
        if let refusal = LedgerError.refusal(in: error), refusal.code == .streamLost { self = .streamLost; return }
        if let postgres = error as? PostgresError, postgres.isTransient { self = .transient; return }
        if let kafka = error as? KafkaError, kafka.isTransient { self = .transient; return }
        self = .event
    }
}

extension LoopContext {
    /// Runs `body` again and again while database or broker are away; every other error is the caller's.
    func patiently<R>(_ body: () async throws -> R) async throws -> R {
        while true {
            do {
                return try await body()
            } catch {
                guard case .transient = Failure(error) else { throw error }
                logger.warning("waiting for database or broker", metadata: ["error": "\(error)"])
                try await database.waitUntilAvailable()
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }
}
