import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraStore

/// Publishes the files of a range of dates, oldest first and a few at a time, and follows what comes of each.
///
/// The next date is published when the rows of an earlier one can be read, or it was refused. Trainings are followed at
/// the end: those of many dates are one, where they come within the model's quiet period.
///
/// It remembers nothing. A date's event has always the same id, so a run that is begun again finds what an earlier one
/// has published, follows it, and publishes what is missing.
struct BackfillRun {
    /// What came of one date.
    struct Result: Encodable, Equatable {
        let date: String
        let uri: String
        let event: String
        /// `promoted`, `passed`, `nothing-to-do`, `rejected`; `open` or `not-published` when time was up.
        let outcome: String
        let reason: String?
    }

    private struct Followed {
        let date: BackfillDate
        var watcher: ChainWatcher
        var outcome: ChainOutcome?
    }

    private let dataset: DatasetID
    private let activeMax: Int
    private let database: Database
    private let tell: (String) -> Void
    private let count: Int
    private var waiting: ArraySlice<BackfillDate>
    private var active: [Followed] = []
    private var brought: [Followed] = []
    /// What was told of trainings and rollouts: all dates that one answers tell the same.
    private var told: Set<String> = []

    init(
        _ dates: [BackfillDate], of dataset: DatasetID, activeMax: Int, database: Database,
        tell: @escaping (String) -> Void
    ) {
        waiting = dates[...]
        count = dates.count
        self.dataset = dataset
        self.activeMax = activeMax
        self.database = database
        self.tell = tell
    }

    /// The id of a date's event, the same in every run.
    static func id(of date: BackfillDate, in dataset: DatasetID) -> EventID {
        .derived(
            stage: "backfill", type: NewData.type, subject: dataset.rawValue, about: "\(date.name) \(date.uri)")
    }

    /// Publishes and looks until nothing more can be done now. Returns whether all dates have ended.
    mutating func advance() async throws -> Bool {
        repeat {} while try await step()
        guard active.isEmpty else { return false }
        for index in brought.indices where brought[index].outcome == nil {
            var followed = brought[index]
            let hasEnded = try await look(&followed)
            brought[index] = followed
            guard hasEnded else { return false }
        }
        return true
    }

    /// Looks at what is on its way, and publishes what there is room for; returns whether anything has changed.
    private mutating func step() async throws -> Bool {
        if try await bring() { return true }
        return try await publish()
    }

    /// What came of each date so far, oldest first.
    var results: [Result] {
        (brought + active).map { result($0.date, $0.outcome) }.sorted { $0.date < $1.date }
            + waiting.map { date in
                Result(
                    date: date.name, uri: date.uri, event: Self.id(of: date, in: dataset).rawValue,
                    outcome: "not-published", reason: nil)
            }
    }

    private func result(_ date: BackfillDate, _ outcome: ChainOutcome?) -> Result {
        let (word, reason): (String, String?) =
            switch outcome {
            case .promoted(let what): ("promoted", what)
            case .passed(let what): ("passed", what)
            case .nothingToDo(let why): ("nothing-to-do", why)
            case .rejected(let why): ("rejected", why)
            case nil: ("open", nil)
            }
        return Result(
            date: date.name, uri: date.uri, event: Self.id(of: date, in: dataset).rawValue, outcome: word,
            reason: reason)
    }

    /// Looks at the dates in flight; returns whether one of them has landed.
    private mutating func bring() async throws -> Bool {
        var (landed, flying): ([Followed], [Followed]) = ([], [])
        for var followed in active {
            let hasEnded = try await look(&followed)
            if hasEnded || followed.watcher.hasRows { landed.append(followed) } else { flying.append(followed) }
        }
        active = flying
        for followed in landed {
            brought.append(followed)
            let end = result(followed.date, followed.outcome)
            let what = end.outcome == "open" ? "its rows can be read" : "\(end.outcome): \(end.reason ?? "")"
            tell("\(end.date)  \(what) (\(brought.count) of \(count))")
        }
        return !landed.isEmpty
    }

    /// Publishes the next date if there is room; returns whether it did.
    private mutating func publish() async throws -> Bool {
        guard active.count < activeMax, let date = waiting.popFirst() else { return false }
        let id = Self.id(of: date, in: dataset)
        var followed = Followed(date: date, watcher: ChainWatcher(id.rawValue, database: database))
        let snapshot = try await Chain.snapshot(of: id.rawValue, in: database)
        if let snapshot, try await EventLog.event(id.rawValue, in: database) == nil {
            // So long ago that the outbox has forgotten it; publishing it again would set nothing going.
            followed.outcome =
                ["rejected", "failed"].contains(snapshot.state)
                ? .rejected("\(dataset): snapshot \(snapshot.number) is \(snapshot.state), since an earlier backfill")
                : .nothingToDo(
                    "\(dataset): snapshot \(snapshot.number) is \(snapshot.state), since an earlier backfill")
        } else {
            let event = try EncodedEvent(
                NewData(
                    dataset: dataset, uri: date.uri, window: TimeWindow(from: date.from, to: date.to), backfill: true),
                id: id, source: Outgoing.source, time: Date(), traceparent: Outgoing.traceparent)
            if try await !Publisher.publish(event, in: database) {
                tell("\(date.name)  was published before, as \(id); following it")
            }
        }
        active.append(followed)
        return true
    }

    /// Looks at one date, and tells what is new; returns whether it has ended.
    private mutating func look(_ followed: inout Followed) async throws -> Bool {
        guard followed.outcome == nil else { return true }
        var steps: [ChainWatcher.Step] = []
        followed.outcome = try await followed.watcher.look { steps.append($0) }
        for step in steps {
            let isShared = !["cli", "validate", "featurize"].contains(step.worker)
            guard !isShared || told.insert("\(step.worker) \(step.what)").inserted else { continue }
            tell("\(followed.date.name)  \(Wait.line(step))")
        }
        return followed.outcome != nil
    }
}
