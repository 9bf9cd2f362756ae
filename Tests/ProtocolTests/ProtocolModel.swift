// The protocol of ARCHITECTURE.md ("One event, from Kafka to Kafka"), small enough to try every interleaving of it: one partition with
// three events (one of them delivered twice), one job, two workers, a reader of what they say, and a broker that may
// come back empty. A worker may die between any two steps, and may work on as a zombie after its partition or its lease
// has gone to the other. The code that it stands for is PartitionLoop, PartitionRelay, SharedRelay, RunnerLoop and the
// tables of schema `ledger`.

/// Ways to get the protocol wrong. Each must be found.
enum Mistake: String, CaseIterable {
    case commitOffsetFirst = "commit the offset before the transaction"
    case settleWithoutEpoch = "settle a job without comparing the lease's epoch"
    case advanceWithoutEpoch = "write to a stream without comparing its epoch"
    case sendBeforeCommit = "send before the transaction has committed"
    case handleWithoutInbox = "handle without asking the inbox"
    case takeWithoutTail = "take a stream without sending its unsent tail"
    case rewindWithoutEpoch = "refill an empty broker without raising the epochs"
}

/// What is checked: how much happens, and with which mistake. What takes more states has fewer events, so that all of it
/// takes seconds.
struct Scope {
    var hasJob = false
    var losesBroker = false
    var mistake: Mistake?

    /// The records of the partition: the first event comes twice.
    var input: [Int] { hasJob ? [0] : losesBroker ? [0, 1, 0] : [0, 1, 0, 2] }
    var events: Int { hasJob ? 1 : losesBroker ? 2 : 3 }
}

/// One moment of the whole system.
struct State: Equatable {
    /// What a process has in memory; gone when it dies.
    struct Worker: Equatable {
        /// It believes that the partition is its own.
        var owns = false
        /// Its epoch of the partition's stream is the newest one.
        var isCurrent = false
        /// It must take the stream before it goes on.
        var mustTake = false
        /// The record it reads next.
        var position = 0
        /// Rows of the stream that it knows to be in Kafka, and that it knows to be written.
        var (sent, next) = (0, 0)
        /// Its attempt at the job, and its hold on the shared stream.
        var (attempt, shared) = (Hold.none, Hold.none)
        /// It knows the shared stream's row to be in Kafka.
        var knowsShared = false
    }
    enum Hold: Int { case none, current, stale }
    enum JobState: Int { case absent, waiting, running, done }

    var workers = Two(Worker(), Worker())
    // The database; one bit an event in each of the first three.
    var (inbox, effects, effectsTwice) = (0, 0, 0)
    /// Rows of the stream, written in one go with the effects, and the cursor of those that are known to be in Kafka.
    var (rows, sent) = (0, 0)
    var (job, jobEffects) = (JobState.absent, 0)
    var (sharedRow, sharedSent) = (false, false)
    // The broker. `log` and `counted` have one bit a row of the stream; bit 7 stands for the shared stream's row.
    var committed = 0
    var owner: Int?
    var log = 0
    var (wasLost, mustRewind) = (false, false)
    // The reader of what was said: it has an inbox of its own.
    var counted = 0

    static let sharedBit = 1 << 7
}

/// Two of a kind, without an array's memory of its own.
struct Two: Equatable {
    private var (first, second): (State.Worker, State.Worker)
    init(_ first: State.Worker, _ second: State.Worker) { (self.first, self.second) = (first, second) }

    subscript(index: Int) -> State.Worker {
        get { index == 0 ? first : second }
        set { if index == 0 { first = newValue } else { second = newValue } }
    }
}

/// One thing that happens, to one worker where it concerns one.
struct Step: Equatable {
    enum Kind: Int, CaseIterable {
        case assign, drop, take, handleOne, handleTwo, commitOffset, commitOffsetEarly, send, sendEarly, acknowledge
        case storeCursor, claim, settle, leaseShared, sendShared, acknowledgeShared, markShared, crash
        case loseBroker, rewind, read
    }
    let kind: Kind
    /// The worker; for `read` the bit of the log.
    let index: Int

    static let all: [Step] = Kind.allCases.flatMap { kind in
        switch kind {
        case .loseBroker, .rewind: [Step(kind: kind, index: 0)]
        case .read: (0..<8).map { Step(kind: kind, index: $0) }
        default: [Step(kind: kind, index: 0), Step(kind: kind, index: 1)]
        }
    }
}

/// What came of a step.
enum Outcome {
    /// It cannot happen here, or would change nothing.
    case impossible
    /// `isFault`: something goes wrong from outside, which need not happen.
    case moved(State, isFault: Bool)
    case violated(String)
}

extension State {
    func after(_ step: Step, in scope: Scope) -> Outcome {
        switch step.kind {
        case .assign, .drop, .take, .crash: membership(step, scope)
        case .handleOne: handle(1, by: step.index, scope)
        case .handleTwo: handle(2, by: step.index, scope)
        case .commitOffset, .commitOffsetEarly: commitOffset(step, scope)
        case .send, .sendEarly, .acknowledge, .storeCursor: relay(step, scope)
        case .claim, .settle: lease(step, scope)
        case .leaseShared, .sendShared, .acknowledgeShared, .markShared: sharedRelay(step)
        case .loseBroker, .rewind, .read: broker(step, scope)
        }
    }

    private func moved(isFault: Bool = false, _ change: (inout State) -> Void) -> Outcome {
        var next = self
        change(&next)
        return next == self ? .impossible : .moved(next, isFault: isFault)
    }

    // MARK: - The group, and death

    private func membership(_ step: Step, _ scope: Scope) -> Outcome {
        let (index, other) = (step.index, 1 - step.index)
        let worker = workers[index]
        switch step.kind {
        case .assign:
            // The broker may give the partition away at any time; who had it does not know at once.
            guard owner != index else { return .impossible }
            return moved(isFault: owner != nil) {
                $0.owner = index
                $0.workers[index].owns = true
                $0.workers[index].isCurrent = false
                $0.workers[index].mustTake = true
                $0.workers[index].position = $0.committed
                ($0.workers[index].sent, $0.workers[index].next) = (0, 0)
            }
        case .drop:
            guard worker.owns, owner != index else { return .impossible }
            return moved { $0.workers[index].forgetPartition() }
        case .take:
            guard worker.owns, worker.mustTake else { return .impossible }
            return moved {
                $0.workers[other].isCurrent = false
                $0.workers[index].isCurrent = true
                $0.workers[index].mustTake = false
                $0.workers[index].next = $0.rows
                $0.workers[index].sent = scope.mistake == .takeWithoutTail ? $0.rows : $0.sent
            }
        default:
            return moved(isFault: true) {
                $0.workers[index] = Worker()
                if $0.owner == index { $0.owner = nil }
            }
        }
    }

    // MARK: - The partition

    /// One transaction over `count` records: inbox, effects, outbox rows, and the stream's fence.
    private func handle(_ count: Int, by index: Int, _ scope: Scope) -> Outcome {
        let worker = workers[index]
        guard worker.owns, !worker.mustTake, worker.position + count <= scope.input.count else { return .impossible }
        let isFenced = scope.mistake == .advanceWithoutEpoch || worker.isCurrent
        guard isFenced, worker.next == rows else { return moved { $0.workers[index].mustTake = true } }
        guard worker.isCurrent else { return .violated("a zombie writes nothing: the stream is another's") }
        return moved {
            for event in scope.input[worker.position..<(worker.position + count)]
            where $0.inbox & 1 << event == 0 || scope.mistake == .handleWithoutInbox {
                if $0.effects & 1 << event != 0 { $0.effectsTwice |= 1 << event }
                $0.inbox |= 1 << event
                $0.effects |= 1 << event
                $0.rows += 1
                if scope.hasJob { $0.job = .waiting }
            }
            $0.workers[index].next = $0.rows
            $0.workers[index].position += count
            $0.sent = max($0.sent, worker.sent)
        }
    }

    private func commitOffset(_ step: Step, _ scope: Scope) -> Outcome {
        let worker = workers[step.index]
        let isEarly = step.kind == .commitOffsetEarly
        guard worker.owns, owner == step.index, !isEarly || scope.mistake == .commitOffsetFirst else {
            return .impossible
        }
        return moved { $0.committed = min(worker.position + (isEarly ? 1 : 0), scope.input.count) }
    }

    private func relay(_ step: Step, _ scope: Scope) -> Outcome {
        let index = step.index
        let worker = workers[index]
        let row = worker.sent
        guard worker.owns else { return .impossible }
        switch step.kind {
        case .send:
            guard row < worker.next else { return .impossible }
            // With the broker its order went; a refill may meet rows that were sent before anybody noticed.
            guard wasLost || log & ((1 << row) - 1) == (1 << row) - 1 else {
                return .violated("what follows is published in the order of its stream")
            }
            return moved { $0.log |= 1 << row }
        case .sendEarly:
            guard scope.mistake == .sendBeforeCommit, !worker.mustTake, worker.position < scope.input.count,
                inbox & 1 << scope.input[worker.position] == 0
            else { return .impossible }
            return moved { $0.log |= 1 << $0.rows }
        case .acknowledge:
            guard row < worker.next, log & 1 << row != 0 else { return .impossible }
            return moved { $0.workers[index].sent += 1 }
        default:
            guard worker.isCurrent else { return .impossible }
            return moved { $0.sent = max($0.sent, worker.sent) }
        }
    }

    // MARK: - The job, and the stream that belongs to no partition

    private func lease(_ step: Step, _ scope: Scope) -> Outcome {
        let (index, attempt) = (step.index, workers[step.index].attempt)
        if step.kind == .claim {
            // A lease may run out at any time: its holder is frozen, or cut off, or dead.
            guard attempt == .none, job == .waiting || job == .running else { return .impossible }
            let isHeld = workers[1 - index].attempt == .current
            return moved(isFault: job == .running && isHeld) {
                $0.job = .running
                if $0.workers[1 - index].attempt == .current { $0.workers[1 - index].attempt = .stale }
                $0.workers[index].attempt = .current
            }
        }
        guard attempt != .none else { return .impossible }
        guard job == .running, attempt == .current || scope.mistake == .settleWithoutEpoch else {
            return moved { $0.workers[index].attempt = .none }
        }
        guard attempt == .current else { return .violated("a job is settled by the holder of its lease or by nobody") }
        return moved {
            ($0.job, $0.sharedRow) = (.done, true)
            $0.jobEffects += 1
            $0.workers[index].attempt = .none
        }
    }

    private func sharedRelay(_ step: Step) -> Outcome {
        let index = step.index
        let worker = workers[index]
        switch step.kind {
        case .leaseShared:
            guard sharedRow, worker.shared != .current else { return .impossible }
            return moved(isFault: workers[1 - index].shared == .current) {
                if $0.workers[1 - index].shared == .current { $0.workers[1 - index].shared = .stale }
                ($0.workers[index].shared, $0.workers[index].knowsShared) = (.current, $0.sharedSent)
            }
        case .sendShared:
            guard worker.shared != .none, !worker.knowsShared else { return .impossible }
            return moved { $0.log |= State.sharedBit }
        case .acknowledgeShared:
            guard worker.shared != .none, log & State.sharedBit != 0 else { return .impossible }
            return moved { $0.workers[index].knowsShared = true }
        default:
            guard worker.shared == .current, worker.knowsShared else { return .impossible }
            return moved { $0.sharedSent = true }
        }
    }

    // MARK: - The broker, and who reads from it

    private func broker(_ step: Step, _ scope: Scope) -> Outcome {
        switch step.kind {
        case .loseBroker:
            // Records, offsets and groups are gone. What was published is published again; that is not shown.
            guard scope.losesBroker, log != 0 else { return .impossible }
            return moved(isFault: true) {
                ($0.log, $0.committed, $0.owner) = (0, 0, nil)
                ($0.wasLost, $0.mustRewind) = (true, true)
            }
        case .rewind:
            guard mustRewind else { return .impossible }
            return moved {
                $0.mustRewind = false
                ($0.sent, $0.sharedSent) = (0, false)
                for index in 0..<2 where scope.mistake != .rewindWithoutEpoch {
                    $0.workers[index].isCurrent = false
                    $0.workers[index].mustTake = $0.workers[index].owns
                    if $0.workers[index].shared == .current { $0.workers[index].shared = .stale }
                }
            }
        default:
            return moved { $0.counted |= $0.log & 1 << step.index }
        }
    }
}

extension State.Worker {
    mutating func forgetPartition() {
        (owns, isCurrent, mustTake) = (false, false, false)
        (position, sent, next) = (0, 0, 0)
    }
}

extension State {
    /// What must hold at every moment; nil when it does.
    func broken(in scope: Scope) -> String? {
        if effectsTwice != 0 { return "an event has its effects once" }
        if jobEffects > 1 { return "a job has its effects once" }
        if scope.input[..<committed].contains(where: { inbox & 1 << $0 == 0 }) {
            return "an offset is committed only after its transaction"
        }
        let said = ((1 << rows) - 1) | (sharedRow ? State.sharedBit : 0)
        return log & ~said == 0 ? nil : "nothing is published that did not happen"
    }

    /// What must hold when nothing is left to do; nil when it does.
    func unfinished(in scope: Scope) -> String? {
        let all = (1 << scope.events) - 1
        if inbox != all || effects != all { return "each event is handled" }
        if rows != scope.events || counted & all != all { return "what follows is published and counted" }
        if scope.hasJob && (job != .done || jobEffects != 1 || counted & State.sharedBit == 0) {
            return "each job is settled, and what it says is published and counted"
        }
        return committed == scope.input.count ? nil : "the offset reaches the end"
    }
}
