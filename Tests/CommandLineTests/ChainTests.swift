import Foundation
import Testing

@testable import NauraLedger
@testable import NauraStore
@testable import naura

@Suite("What came of an event")
struct ChainTests {
    private func event(_ id: String, cause: String? = nil, root: String) -> LoggedEvent {
        LoggedEvent(
            row: EventRow(
                id: id, type: "new-data", subject: "s", source: "/naura/cli", time: Date(timeIntervalSince1970: 0),
                causeID: cause, rootID: root), body: [])
    }

    @Test("the chain of a root is all of it; that of a later event only what came of that one")
    func descendants() {
        let chain = [
            event("a", root: "a"), event("b", cause: "a", root: "a"), event("c", cause: "a", root: "a"),
            event("d", cause: "b", root: "a"), event("e", cause: "d", root: "a"),
        ]
        #expect(ChainWatcher.descendants(of: "a", in: chain).map(\.row.id) == ["a", "b", "c", "d", "e"])
        #expect(ChainWatcher.descendants(of: "b", in: chain.reversed()).map(\.row.id) == ["b", "d", "e"])
        #expect(ChainWatcher.descendants(of: "x", in: chain).isEmpty)
    }

    private func rollout(_ state: String, isServed: Bool = true) -> ChainRollout {
        ChainRollout(
            id: 1, model: "churn", version: 4, baseline: 3, state: state, step: 0, weight: 1, verdict: "",
            reason: "why", isServed: isServed)
    }

    private func branch(
        _ state: String, verdict: String? = nil, rollout: ChainRollout? = nil, isBackfill: Bool = false
    ) -> ChainBranch {
        ChainBranch(
            model: "churn", event: "e", at: Date(timeIntervalSince1970: 0),
            training: ChainBranch.Training(
                request: 1, state: state, reason: "because", run: "r", version: 4, codeCommit: nil, causes: 1,
                isBackfill: isBackfill, frozenAt: Date(timeIntervalSince1970: 0), settledAt: nil),
            verdict: verdict.map {
                ChainBranch.Verdict(
                    evaluation: 1, verdict: $0, reason: "so", metric: "roc-auc", candidate: 0.8, champion: 0.8)
            }, rollout: rollout)
    }

    @Test("a promotion counts only when a gateway serves it")
    func served() {
        #expect(ChainOutcome.of(branch("trained")) == nil)
        #expect(ChainOutcome.of(branch("trained", verdict: "promoted")) == nil)
        #expect(ChainOutcome.of(branch("trained", verdict: "promoted", rollout: rollout("running"))) == nil)
        let unserved = rollout("completed", isServed: false)
        #expect(ChainOutcome.of(branch("trained", verdict: "promoted", rollout: unserved)) == nil)
        #expect(
            ChainOutcome.of(branch("trained", verdict: "promoted", rollout: rollout("completed")))
                == .promoted("churn version 4 answers everyone"))
    }

    @Test("what only a backfill asked for ends with the gate's verdict, until a person promotes it")
    func backfill() {
        let passed = ChainOutcome.of(branch("trained", verdict: "promoted", isBackfill: true))
        #expect(
            passed
                == .passed(
                    "churn version 4 passed the gate (so); only a backfill asked for it, so it waits for "
                        + "`naura models promote churn 4`"))
        let promoted = branch("trained", verdict: "promoted", rollout: rollout("completed"), isBackfill: true)
        #expect(ChainOutcome.of(promoted) == .promoted("churn version 4 answers everyone"))
        #expect(
            ChainOutcome.of(branch("trained", verdict: "rejected", isBackfill: true))
                == .rejected("churn version 4: rejected: so"))
    }

    @Test("what is refused or taken back is a rejection that says why; what is no news is nothing to do")
    func ends() {
        #expect(ChainOutcome.of(branch("unchanged")) == .nothingToDo("churn: unchanged: because"))
        #expect(ChainOutcome.of(branch("failed")) == .rejected("churn: training failed: because"))
        #expect(
            ChainOutcome.of(branch("trained", verdict: "unchanged")) == .nothingToDo("churn version 4: unchanged: so"))
        #expect(
            ChainOutcome.of(branch("trained", verdict: "cannot-judge"))
                == .rejected("churn version 4: cannot-judge: so"))
        #expect(ChainOutcome.of(rollout("rolled-back")) == .rejected("churn version 4: rolled back: why"))
    }

    @Test("of several branches a rejection weighs most, then a promotion")
    func combined() {
        #expect(ChainOutcome.combined([.promoted("a"), .rejected("b"), .nothingToDo("c")]) == .rejected("b"))
        #expect(ChainOutcome.combined([.promoted("a"), .nothingToDo("c")]) == .promoted("a"))
        #expect(ChainOutcome.combined([.nothingToDo("a"), .nothingToDo("c")]) == .nothingToDo("a; c"))
    }
}
