import Foundation
import NauraLedger
import NauraStore

/// The line at the top: servers, what waits, what failed.
struct StatusLine {
    struct Chip {
        let label: String
        let value: String
        let state: String
        let title: String
    }

    let chips: [Chip]
    let awaySince: Moment?
    let projects: String?

    init(_ snapshot: LoopSnapshot, awaySince: Date?) {
        self.awaySince = awaySince.map(Moment.init)
        projects = snapshot.projects.isEmpty ? nil : snapshot.projects.joined(separator: ", ")
        guard let status = snapshot.status else {
            chips = [Chip(label: "database", value: "away", state: "bad", title: "the database does not answer")]
            return
        }
        let alive = status.workers.filter { $0.state != "silent" }
        let lag = alive.map(\.lag).reduce(0, +)
        let isAway = awaySince != nil
        chips = [
            Chip(
                label: "database", value: isAway ? "away" : status.database.state, state: isAway ? "bad" : "good",
                title: "PostgreSQL, database \(status.database.name ?? "–")"),
            Chip(
                label: "broker", value: status.broker.state, state: status.broker.state == "up" ? "good" : "dull",
                title: "Kafka cluster \(status.broker.name ?? "not seen yet")"),
            Chip(
                label: "workers", value: "\(alive.count)", state: alive.isEmpty ? "bad" : "good",
                title: "instances that have spoken lately"),
            Chip(
                label: "lag", value: Format.count(lag), state: lag > 1_000 ? "warn" : "good",
                title: "events not handled yet"),
            Chip(
                label: "outbox", value: Format.count(status.outboxDepth),
                state: status.outboxDepth > 1_000 ? "warn" : "good", title: "events that wait to be sent"),
            Chip(
                label: "dead letters", value: Format.count(status.deadLetters),
                state: status.deadLetters > 0 ? "warn" : "good", title: "events and jobs that failed for good"),
        ]
    }
}

/// Instances of workers, and the jobs that run or wait.
struct WorkerTable {
    struct Line {
        let name: String
        let state: String
        let pid: Int
        let lag: String
        let doing: String?
        let seen: Moment
        let address: String?
    }

    struct JobLine {
        let kind: String
        let key: String
        let state: String
        let note: String?
        let when: Moment
        let tries: String?
    }

    let lines: [Line]
    let jobs: [JobLine]
    let isEmpty: Bool
    let hasJobs: Bool

    init(_ snapshot: LoopSnapshot) {
        let rows = snapshot.status?.workers ?? []
        lines = rows.map { row in
            let job = snapshot.jobs.first { $0.state == "running" && $0.owner == row.instance }
            return Line(
                name: row.name, state: row.state, pid: row.pid, lag: Format.count(row.lag),
                doing: job.map { $0.progress ?? "\($0.kind) \($0.key)" }, seen: Moment(row.startedAt),
                address: row.address)
        }
        jobs = snapshot.jobs.filter { $0.state == "waiting" || $0.state == "running" }.prefix(8).map { job in
            JobLine(
                kind: job.kind, key: job.key, state: job.state, note: job.progress ?? job.failure,
                when: Moment(job.state == "running" ? job.startedAt ?? job.dueAt : job.dueAt),
                tries: job.tries > 0 ? "try \(job.tries + 1)" : nil)
        }
        isEmpty = lines.isEmpty
        hasJobs = !jobs.isEmpty
    }
}

/// Alerts and dead letters, newest first.
struct AlertList {
    struct Alert {
        let text: String
        let state: String
        let when: Moment
    }

    struct Letter {
        let stage: String
        let code: String
        let message: String
        let when: Moment
    }

    let alerts: [Alert]
    let letters: [Letter]
    let isEmpty: Bool

    init(_ snapshot: LoopSnapshot) {
        alerts = snapshot.alerts.reversed().map { alert in
            Alert(
                text: "\(alert.kind) drift of \(alert.model) v\(alert.version)", state: alert.state,
                when: Moment(alert.resolvedAt ?? alert.openedAt))
        }
        letters = snapshot.deadLetters.reversed().map { letter in
            Letter(
                stage: letter.stage, code: letter.code, message: String(letter.message.prefix(240)),
                when: Moment(letter.failedAt))
        }
        isEmpty = alerts.isEmpty && letters.isEmpty
    }
}

/// The latest events, newest first.
struct EventTable {
    struct Line {
        let id: String
        let short: String
        let type: String
        let subject: String
        let source: String
        let when: Moment
        let cause: String?
        let root: String
        let rootShort: String
        let isRoot: Bool
        let hue: Int
    }

    let lines: [Line]
    let isEmpty: Bool

    init(_ snapshot: LoopSnapshot) {
        lines = snapshot.events.reversed().map { event in
            Line(
                id: event.id, short: Format.short(event.id), type: event.type, subject: event.subject,
                source: event.source, when: Moment(event.time), cause: event.causeID.map(Format.short),
                root: event.rootID, rootShort: Format.short(event.rootID), isRoot: event.rootID == event.id,
                hue: EventTable.hue(of: event.rootID))
        }
        isEmpty = lines.isEmpty
    }

    /// One of eight colours a chain, so that the eye can follow it.
    private static func hue(of root: String) -> Int {
        Int(root.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 } % 8)
    }
}
