import NauraEvents
import NauraLedger
import NauraLedger
import NauraPostgres
import NauraRules
import NauraStage
import NauraStore

/// What happens to a rollout: route, registry, decision and event change in the one transaction behind `work`.
enum RolloutCourse {
    /// What a decision rests on, as it is put on record.
    struct Record: Encodable, Sendable {
        let verdict: CanaryVerdict?
        let situation: CanarySituation?
        let reason: String
    }

    // MARK: Begin

    /// After a version was filed: older waiting ones give way, and so does a held rollout; a running one is waited for.
    static func makeRoom(
        for version: Int, beside active: Rollout?, of model: String, in work: borrowing Work
    ) async throws {
        let waiting = try await Rollouts.waiting(of: model, in: work.transaction)
        for older in waiting.dropFirst() {
            try await end(
                older, as: .superseded, word: "superseded", reason: "version \(version) passed meanwhile", in: work)
        }
        guard let newest = waiting.first else { return }
        if let active {
            guard active.state == .held else { return }
            try await end(
                active, as: .superseded, word: "superseded",
                reason: "held without a verdict when version \(version) passed", in: work)
        }
        try await begin(newest, in: work)
    }

    /// Begins the newest waiting rollout of a model whose rollout has ended, if there is one.
    private static func beginNext(of model: String, in work: borrowing Work) async throws {
        guard let next = try await Rollouts.waiting(of: model, in: work.transaction).first else { return }
        if let reason = try await ModelVersions.barred(next.digest, of: model, in: work.transaction) {
            return try await end(
                next, as: .superseded, word: "barred", reason: "its digest was barred meanwhile: \(reason)", in: work)
        }
        let champion = try await Routes.current(of: next.model, in: work.transaction)?.champion
        guard next.actor != "naura" || next.baseline == champion || next.version == champion else {
            return try await gateAgain(next, champion: champion, in: work)
        }
        try await begin(next, in: work)
    }

    /// The arguments of the gate's job, kind `evaluate`, which `promote` runs.
    private struct Evaluate: Encodable, Sendable {
        let model: String
        let version: Int
    }

    /// A version that waited was compared with a champion that is no more: the gate must see it again. A promotion by
    /// hand has skipped the gate, and skips it here.
    private static func gateAgain(_ rollout: Rollout, champion: Int?, in work: borrowing Work) async throws {
        let now = champion.map { "version \($0)" } ?? "nobody"
        try await end(
            rollout, as: .superseded, word: "gated-again",
            reason: "\(now) became the champion meanwhile, so the gate judges version \(rollout.version) again",
            in: work)
        try await work.file(
            "evaluate", key: rollout.model, about: "\(rollout.model)/\(rollout.version)/again/\(rollout.causeID)",
            arguments: Evaluate(model: rollout.model, version: rollout.version))
    }

    private static func begin(_ rollout: Rollout, in work: borrowing Work) async throws {
        let transaction = work.transaction
        let route = try await Routes.current(of: rollout.model, in: transaction)
        guard let route else {
            return try await complete(
                rollout, baseline: nil, word: "no-predecessor",
                reason: "the first version: there is nothing to compare it with, so it answers everyone at once",
                in: work)
        }
        guard route.champion != rollout.version else {
            return try await end(
                rollout, as: .superseded, word: "superseded", reason: "the version is the champion already", in: work)
        }
        guard !rollout.policy.isImmediate else {
            return try await complete(
                rollout, baseline: route.champion, word: "no-canary",
                reason: "the project file asks for no canary (steps: [100%])", in: work)
        }
        let weight = rollout.policy.weight(at: 0)
        let reason = "\(percent(weight)) of units get version \(rollout.version), the rest version \(route.champion)"
        try await RolloutSteps.begin(
            rollout, beside: route.champion, weight: weight, reason: reason, in: transaction)
        try await LookAtRollout.file(for: rollout.id, policy: rollout.policy, in: work)
        try await announce(
            rollout, .started, baseline: route.champion, weight: weight, step: 0, word: "started",
            record: Record(verdict: nil, situation: nil, reason: reason), in: work)
    }

    // MARK: Decide

    /// Asks the rule, and does what it says. `isHeard`: a gateway has just spoken.
    static func decide(
        _ rollout: Rollout, _ evidence: [CanaryMetric: CanaryEvidence], isHeard: Bool, in work: borrowing Work
    ) async throws {
        let situation = CanarySituation(
            step: rollout.step, weight: rollout.weight, evidence: evidence, secondsInStep: rollout.secondsInStep,
            secondsSinceTelemetry: isHeard ? 0 : rollout.secondsSinceTelemetry, secondsHeld: rollout.secondsHeld,
            fault: rollout.fault)
        let verdict = CanaryRule.judge(situation, policy: rollout.policy)
        let record = Record(verdict: verdict, situation: situation, reason: verdict.reason)
        try await Rollouts.look(
            rollout.id, isHeard: isHeard, verdict: verdict.word, reason: verdict.reason,
            awaySeconds: LookAtRollout.awaySeconds(rollout.policy), in: work.transaction)
        switch verdict.action {
        case .advance: try await advance(rollout, evidence, record, word: verdict.word, in: work)
        case .hold where rollout.state == .running: try await setHeld(rollout, true, record, verdict.word, in: work)
        case .wait where rollout.state == .held: try await setHeld(rollout, false, record, verdict.word, in: work)
        case .hold, .wait: break
        case .rollBack: try await rollBack(rollout, bars: false, record, word: verdict.word, in: work)
        case .rollBackAndBar: try await rollBack(rollout, bars: true, record, word: verdict.word, in: work)
        }
    }

    private static func advance(
        _ rollout: Rollout, _ evidence: [CanaryMetric: CanaryEvidence], _ record: Record, word: String,
        in work: borrowing Work
    ) async throws {
        let step = rollout.step + 1
        let weight = rollout.policy.weight(at: step)
        guard weight < 1 else {
            try await complete(
                rollout, baseline: rollout.baseline, word: word, reason: record.reason, record: record, in: work)
            return try await beginNext(of: rollout.model, in: work)
        }
        try await RolloutSteps.advance(
            rollout, to: step, weight: weight, word: word, reason: record.reason, in: work.transaction)
        try await RolloutEvidence.save(
            evidence.mapValues { counts in
                var counts = counts
                counts.startStep()
                return counts
            }, of: rollout.id, step: step, in: work.transaction)
        try await announce(
            rollout, .advanced, baseline: rollout.baseline, weight: weight, step: step, word: word, record: record,
            in: work)
    }

    private static func setHeld(
        _ rollout: Rollout, _ isHeld: Bool, _ record: Record, _ word: String, in work: borrowing Work
    ) async throws {
        try await Rollouts.setHeld(
            rollout.id, isHeld, verdict: word, reason: record.reason, in: work.transaction)
        try await announce(
            rollout, isHeld ? .held : .resumed, baseline: rollout.baseline, weight: rollout.weight, step: rollout.step,
            word: word, record: record, in: work)
        // A version that passed while this one ran need not wait for what may never be known.
        if isHeld, let next = try await Rollouts.waiting(of: rollout.model, in: work.transaction).first {
            try await makeRoom(
                for: next.version, beside: try await Rollouts.find(rollout.id, in: work.transaction),
                of: rollout.model, in: work)
        }
    }

    private static func rollBack(
        _ rollout: Rollout, bars: Bool, _ record: Record, word: String, in work: borrowing Work
    ) async throws {
        if bars {
            try await BarredDigests.bar(
                rollout.digest, of: rollout.model, reason: record.reason, rollout: rollout.id, in: work.transaction)
        }
        try await end(rollout, as: .rolledBack, word: word, reason: record.reason, record: record, in: work)
        try await beginNext(of: rollout.model, in: work)
    }

    // MARK: End

    private static func complete(
        _ rollout: Rollout, baseline: Int?, word: String, reason: String, record: Record? = nil, in work: borrowing Work
    ) async throws {
        try await RolloutSteps.complete(
            rollout, baseline: baseline, word: word, reason: reason, in: work.transaction)
        try await announce(
            rollout, .completed, baseline: baseline, weight: 1, step: rollout.step, word: word,
            record: record ?? Record(verdict: nil, situation: nil, reason: reason), in: work)
    }

    private static func end(
        _ rollout: Rollout, as state: RolloutState, word: String, reason: String, record: Record? = nil,
        in work: borrowing Work
    ) async throws {
        try await RolloutSteps.end(rollout, as: state, word: word, reason: reason, in: work.transaction)
        try await announce(
            rollout, state == .rolledBack ? .rolledBack : .superseded, baseline: rollout.baseline, weight: 0,
            step: rollout.step, word: word, record: record ?? Record(verdict: nil, situation: nil, reason: reason),
            in: work)
    }

    /// Puts the decision on record and says it, in the line of the event that promoted the version.
    private static func announce(
        _ rollout: Rollout, _ state: RolloutChanged.State, baseline: Int?, weight: Double, step: Int, word: String,
        record: Record, in work: borrowing Work
    ) async throws {
        let number = try await RolloutEvidence.record(
            state.rawValue, of: rollout.id, weight: weight, evidence: record, in: work.transaction)
        // A step can be held more than once, so the step alone does not name the event.
        try await work.emit(
            RolloutChanged(
                model: ModelID(rawValue: rollout.model), version: rollout.version, baseline: baseline,
                rollout: Int64(rollout.id), state: state, weight: weight, verdict: word, reason: record.reason),
            about: about(rollout, step: step, state, number: number),
            lineage: Lineage(
                cause: EventID(rawValue: rollout.causeID), root: EventID(rawValue: rollout.rootID),
                traceparent: rollout.traceparent))
    }

    /// Names the step among all that the rollout takes; `number` is the decision's.
    static func about(_ rollout: Rollout, step: Int, _ state: RolloutChanged.State, number: Int) -> String {
        "\(rollout.causeID)/\(step)/\(state.rawValue)/\(number)"
    }

    private static func percent(_ share: Double) -> String { "\((share * 10_000).rounded() / 100) %" }
}
