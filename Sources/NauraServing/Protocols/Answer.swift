import NauraEvents
import NIOCore

/// What a request is answered with, before it becomes HTTP.
struct Answer {
    var status = 200
    var body: ByteBuffer
    /// Sets the headers `x-naura-prediction-id`, `x-naura-version` and `x-naura-arm`.
    var prediction: (id: PredictionID, arm: LoadedArm)?

    init(status: Int = 200, body: ByteBuffer, prediction: (id: PredictionID, arm: LoadedArm)? = nil) {
        self.status = status
        self.body = body
        self.prediction = prediction
    }

    /// A JSON body written by `write`.
    static func json(_ write: (inout [UInt8]) -> Void) -> Answer {
        var bytes: [UInt8] = []
        write(&bytes)
        return Answer(body: ByteBuffer(bytes: bytes))
    }

    /// `{"error": message}`, the one shape of every refusal.
    static func error(_ status: Int, _ message: String) -> Answer {
        var answer = json { bytes in
            bytes.append("{\"error\":")
            bytes.appendJSON(message)
            bytes.append(0x7D)
        }
        answer.status = status
        return answer
    }
}

/// A request for a prediction, before its body was looked at.
struct Call {
    let route: ModelRoute
    /// The version that the path names; it passes the split by.
    let pinned: LoadedArm?
    /// The header `x-naura-unit`.
    let unit: String?
    /// When the request came, by the monotonic clock.
    let startedAt: UInt64
}

/// Who answers a call, and for whom.
struct Choice {
    let arm: LoadedArm
    let id: PredictionID
    /// What the request names its unit; nil when it names none.
    let unit: String?
    /// Where the unit stands; nil when no canary is served, or the request went past the split.
    let place: Split.Place?
}

extension Gateway {
    /// Chooses the arm for a call. `unitInBody` looks for the unit column, and is asked only when the answer matters.
    ///
    /// - Throws: ``Refusal`` 503 when no version is loaded.
    @inline(__always)
    func choose(_ call: Call, unitInBody: () -> String?) throws(Refusal) -> Choice {
        guard let champion = call.route.champion else {
            throw .unavailable("no version of the model \(call.route.name) is loaded", retryAfterSeconds: 5)
        }
        let id = nextID()
        if let pinned = call.pinned { return Choice(arm: pinned, id: id, unit: call.unit, place: nil) }
        guard let canary = call.route.canary, hasFreshRoutes else {
            return Choice(arm: champion, id: id, unit: call.unit, place: nil)
        }
        let unit = call.unit ?? unitInBody()
        // A request without a unit is a unit of its own; its id is as good as a random number under the salted hash.
        let place = call.route.split.place(of: unit ?? id.text)
        return Choice(
            arm: call.route.split.isCanary(place) ? canary : champion, id: id, unit: unit, place: place)
    }

    /// Begins the answer of a chosen arm.
    @inline(__always)
    func exchange(_ choice: Choice) -> Exchange {
        Exchange(
            arm: choice.arm, id: choice.id, unit: choice.unit, wallMicroseconds: Clocks.wallMicroseconds(),
            isRecorded: configuration.recordsPredictions, scratch: borrowScratch())
    }

    /// Counts an answered call, and hands over its records.
    @inline(__always)
    func settle(_ call: Call, _ choice: Choice, _ scratch: borrowing Scratch, rows: Int, isError: Bool) {
        let nanoseconds = Clocks.monotonicNanoseconds() &- call.startedAt
        choice.arm.metrics.record(nanoseconds: nanoseconds, rows: rows, isError: isError)
        var wantsSending = false
        if let place = choice.place, let observer = call.route.observer {
            wantsSending = observer.record(choice.arm.arm, place, nanoseconds: nanoseconds, isError: isError)
        }
        let isFull = scratch.records.withUnsafeBufferPointer { records in
            scratch.ends.withUnsafeBufferPointer { ends in call.route.telemetry.log.append(records, ends: ends) }
        }
        if wantsSending || isFull { reporterBell.ring() }
    }

    /// The answer for a model that has none: the request's fault it is not.
    func modelFailed(_ call: Call, _ choice: Choice) -> Answer {
        var answer = Answer.error(
            500,
            "version \(choice.arm.version) of the model \(call.route.name) has no finite answer for this input")
        answer.prediction = (choice.id, choice.arm)
        return answer
    }
}
