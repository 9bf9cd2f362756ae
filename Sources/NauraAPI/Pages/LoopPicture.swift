import Foundation
import NauraEvents
import NauraLedger
import NauraStore

/// The loop as a picture: the stream on its way to the wheel, and the five workers that turn on it.
struct LoopPicture {
    /// One worker's card.
    struct Node {
        let name: String
        let x: String
        let y: String
        let width: String
        let height: String
        let left: String
        let right: String
        let nameY: String
        let noteY: String
        let timeY: String
        /// `up`, `busy`, `silent` or `absent`.
        let state: String
        /// What happened last, or what is being done.
        let note: String
        let moment: Moment?
        let lag: String?
        let instances: String?
        let title: String
    }

    /// One topic's way from a worker to the next.
    struct Edge {
        let path: String
        let kind: String
        let label: String?
        let labelX: String
        let labelY: String
        let anchor: String
        let at: Int?
    }

    /// One arrangement; the style sheet shows the one that fits.
    struct Arrangement {
        let name: String
        let width: Int
        let height: Int
        let wheelX: String
        let wheelY: String
        let wheelRadius: String
        let hubRadius: String
        let spokes: [Spoke]
        let hubTitle: String
        let hubNote: String
        let hubTitleY: String
        let hubNoteY: String
        let nodes: [Node]
        let edges: [Edge]
        let at: Int?
    }

    /// A spoke of the wheel.
    struct Spoke {
        let x1: String
        let y1: String
        let x2: String
        let y2: String
    }

    let summary: String
    let arrangements: [Arrangement]

    init(_ snapshot: LoopSnapshot) {
        let facts = WorkerFacts.all(snapshot)
        let times = Dictionary(
            snapshot.latest.map { ($0.type, Moment($0.time).at) }, uniquingKeysWith: { max($0, $1) })
        let last = snapshot.latest.max { $0.time < $1.time }
        let hub = LoopPicture.hub(snapshot)
        let up = facts.values.filter { $0.state == "up" || $0.state == "busy" }.count
        let tail = last.map { "; the last event was \($0.type) about \($0.subject)" } ?? "; no event yet"
        summary = "\(up) of \(facts.count) kinds of workers are up\(tail)"
        arrangements = [LoopLayout.wide, LoopLayout.tall].map { layout in
            layout.arrangement(
                facts: facts, times: times, hub: hub, at: last.map { Moment($0.time).at },
                servingAt: snapshot.serving.compactMap(\.lastPredictionAt).max().map { Moment($0).at })
        }
    }

    /// What stands on the wheel's hub: who answers.
    private static func hub(_ snapshot: LoopSnapshot) -> (title: String, note: String) {
        guard let serving = snapshot.serving.first else { return ("naura", "no model yet") }
        if snapshot.serving.count > 1 { return ("\(snapshot.serving.count) models", "are served") }
        if let canary = serving.canary, serving.weight > 0 {
            return ("v\(serving.champion) → v\(canary)", "canary at \(Format.percent(serving.weight))")
        }
        return ("v\(serving.champion)", "\(serving.model)’s champion")
    }
}

/// What the picture says of one kind of worker.
struct WorkerFacts {
    let name: String
    let state: String
    let note: String
    let moment: Moment?
    let lag: Int
    let instances: Int

    static let names = [
        "api", "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify",
    ]

    static func all(_ snapshot: LoopSnapshot) -> [String: WorkerFacts] {
        Dictionary(uniqueKeysWithValues: names.map { ($0, WorkerFacts($0, snapshot)) })
    }

    private init(_ name: String, _ snapshot: LoopSnapshot) {
        self.name = name
        let rows = (snapshot.status?.workers ?? []).filter { $0.name == name }
        let alive = rows.filter { $0.state != "silent" }
        instances = alive.count
        lag = alive.map(\.lag).reduce(0, +)
        let job = snapshot.jobs.first { $0.state == "running" && $0.owner?.hasPrefix(name + "@") == true }
        if alive.isEmpty {
            state = rows.contains { $0.state == "silent" } ? "silent" : "absent"
        } else {
            state = job == nil ? "up" : "busy"
        }
        if let job {
            note = job.progress ?? "\(job.kind) \(job.key)"
            moment = job.startedAt.map(Moment.init)
        } else if let (text, date) = WorkerFacts.last(of: name, snapshot) {
            note = text
            moment = Moment(date)
        } else {
            note = alive.isEmpty ? (state == "silent" ? "silent" : "not started") : "nothing yet"
            moment = nil
        }
    }

    /// The last thing that the worker said, or else was told.
    private static func last(of name: String, _ snapshot: LoopSnapshot) -> (String, Date)? {
        if name == "serve", let answered = snapshot.serving.compactMap(\.lastPredictionAt).max() {
            let rate = Double(snapshot.serving.map(\.recentPredictions).reduce(0, +)) / 10
            return (rate >= 1 ? "\(Format.count(Int(rate.rounded()))) answers/s" : "answered", answered)
        }
        if name == "api" {
            let published = snapshot.latest.filter { event in
                !event.source.hasPrefix(Envelope.ownSourcePrefix)
                    || ["/naura/api", "/naura/cli"].contains(event.source)
            }
            return published.max { $0.time < $1.time }.map { ("← \($0.type)", $0.time) }
        }
        let heard = snapshot.latest.filter {
            EventCatalogue.entry(for: EventType($0.type))?.consumers.contains(name) == true
        }
        // A dead letter is said in the name of the stage that gave up; it would hide what the worker did last.
        let own = snapshot.latest.filter { event in
            event.type != "dead-letter"
                && EventCatalogue.entry(for: EventType(event.type))?.producers.contains(name) == true
                && event.source == Envelope.ownSourcePrefix + name
        }
        guard let event = (own.isEmpty ? heard : own).max(by: { $0.time < $1.time }) else { return nil }
        return (own.isEmpty ? "← \(event.type)" : event.type, event.time)
    }
}
