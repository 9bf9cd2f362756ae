// Breadth first over every reachable state of the model, each kept once: so the first trace to a fault is a shortest one.

/// What was found.
struct Exploration {
    /// How many different states were reached.
    var states = 0
    /// The sentence that does not hold, and the shortest way there; nil when all hold.
    var fault: (sentence: String, trace: [String])?

    init(_ scope: Scope) {
        var known = StateTable()
        _ = known.insert(State().packed, from: -1, by: 0)
        var next = 0
        while next < known.count {
            let state = State(packed: known.state(next))
            var isAtRest = true
            for (number, step) in Step.all.enumerated() {
                switch state.after(step, in: scope) {
                case .impossible: continue
                case .violated(let sentence):
                    fault = (sentence, known.trace(to: next) + [step.description])
                case .moved(let reached, let isFault):
                    if !isFault { isAtRest = false }
                    if let sentence = reached.broken(in: scope) {
                        fault = (sentence, known.trace(to: next) + [step.description])
                    } else {
                        _ = known.insert(reached.packed, from: next, by: number)
                    }
                }
                if fault != nil { break }
            }
            if fault == nil, isAtRest, let sentence = state.unfinished(in: scope) {
                fault = ("at the end, \(sentence)", known.trace(to: next))
            }
            states = known.count
            if fault != nil { return }
            next += 1
        }
    }
}

extension Step: CustomStringConvertible {
    var description: String {
        switch kind {
        case .loseBroker, .rewind: "\(kind)"
        case .read: "read row \(index == 7 ? "of the job" : "\(index)")"
        default: "worker \(index == 0 ? "A" : "B"): \(kind)"
        }
    }
}

/// The states that are known, in the order in which they were found, with the way to each.
private struct StateTable {
    private var states: [UInt64] = []
    private var origins: [(parent: Int32, step: UInt8)] = []
    /// Places in `states`, found by hash; -1 is free. Linear probing, at most half full.
    private var places = [Int32](repeating: -1, count: 1 << 16)

    var count: Int { states.count }
    func state(_ index: Int) -> UInt64 { states[index] }

    /// Whether `state` was new.
    mutating func insert(_ state: UInt64, from parent: Int, by step: Int) -> Bool {
        if states.count * 2 > places.count { grow() }
        let slot = slot(of: state)
        guard places[slot] < 0 else { return false }
        places[slot] = Int32(states.count)
        states.append(state)
        origins.append((Int32(parent), UInt8(step)))
        return true
    }

    func trace(to index: Int) -> [String] {
        var (trace, place) = ([String](), index)
        while origins[place].parent >= 0 {
            trace.append("\(Step.all[Int(origins[place].step)])")
            place = Int(origins[place].parent)
        }
        return trace.reversed()
    }

    private func slot(of state: UInt64) -> Int {
        let mask = places.count - 1
        var slot = Int(truncatingIfNeeded: (state &* 0x9e37_79b9_7f4a_7c15) >> 32) & mask
        while places[slot] >= 0, states[Int(places[slot])] != state { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        places = [Int32](repeating: -1, count: places.count * 2)
        for (index, state) in states.enumerated() { places[slot(of: state)] = Int32(index) }
    }
}

// MARK: - A state in 64 bits

extension State {
    /// All of a state that breaks no rule; what only a broken one has is left out.
    var packed: UInt64 {
        var bits = Bits()
        for index in 0..<2 {
            let worker = workers[index]
            bits.put(worker.owns, worker.isCurrent, worker.mustTake, worker.knowsShared)
            bits.put(worker.position, width: 3)
            bits.put(worker.sent, width: 2)
            bits.put(worker.next, width: 2)
            bits.put(worker.attempt.rawValue, width: 2)
            bits.put(worker.shared.rawValue, width: 2)
        }
        bits.put(inbox, width: 3)
        bits.put(rows, width: 2)
        bits.put(sent, width: 2)
        bits.put(job.rawValue, width: 2)
        bits.put(sharedRow, sharedSent, wasLost, mustRewind)
        bits.put(committed, width: 3)
        bits.put(owner ?? 2, width: 2)
        bits.put(log, width: 8)
        bits.put(counted, width: 8)
        return bits.value
    }

    init(packed: UInt64) {
        self.init()
        var bits = Bits(value: packed)
        for index in 0..<2 {
            var worker = Worker()
            (worker.owns, worker.isCurrent, worker.mustTake, worker.knowsShared) = bits.takeFlags()
            worker.position = bits.take(3)
            worker.sent = bits.take(2)
            worker.next = bits.take(2)
            worker.attempt = Hold(rawValue: bits.take(2)) ?? .none
            worker.shared = Hold(rawValue: bits.take(2)) ?? .none
            workers[index] = worker
        }
        inbox = bits.take(3)
        effects = inbox
        rows = bits.take(2)
        sent = bits.take(2)
        job = JobState(rawValue: bits.take(2)) ?? .absent
        jobEffects = job == .done ? 1 : 0
        (sharedRow, sharedSent, wasLost, mustRewind) = bits.takeFlags()
        committed = bits.take(3)
        let owner = bits.take(2)
        self.owner = owner == 2 ? nil : owner
        log = bits.take(8)
        counted = bits.take(8)
    }
}

/// Numbers of a few bits each, put and taken in the same order.
private struct Bits {
    var value: UInt64 = 0
    private var width = 0

    init(value: UInt64 = 0) { self.value = value }

    mutating func put(_ number: Int, width bits: Int) {
        precondition(number >= 0 && number < 1 << bits && width + bits <= 64, "the state outgrows its bits")
        value |= UInt64(number) << UInt64(width)
        width += bits
    }

    mutating func put(_ flags: Bool...) { for flag in flags { put(flag ? 1 : 0, width: 1) } }

    mutating func take(_ bits: Int) -> Int {
        defer { width += bits }
        return Int(truncatingIfNeeded: value >> UInt64(width)) & ((1 << bits) - 1)
    }

    mutating func takeFlags() -> (Bool, Bool, Bool, Bool) {
        (take(1) == 1, take(1) == 1, take(1) == 1, take(1) == 1)
    }
}
