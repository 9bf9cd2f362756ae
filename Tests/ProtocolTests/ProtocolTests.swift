import Testing

@Suite("The protocol of inbox, outbox, lease and relay, in every interleaving")
struct ProtocolTests {
    static let scopes = [
        Scope(), Scope(losesBroker: true), Scope(hasJob: true), Scope(hasJob: true, losesBroker: true),
    ]

    @Test(
        """
        Two workers that may die or become zombies between any two steps give each event its effects once, and lose \
        nothing of what follows
        """, arguments: scopes)
    func holds(scope: Scope) {
        let clock = ContinuousClock()
        var exploration: Exploration?
        let time = clock.measure { exploration = Exploration(scope) }
        print("\(scope): \(exploration?.states ?? 0) states in \(time)")
        if let fault = exploration?.fault {
            Issue.record("\(fault.sentence)\n\(fault.trace.joined(separator: "\n"))")
        }
        #expect(exploration?.states ?? 0 > 10_000, "too few states to mean anything")
    }

    @Test("A mistake in the protocol is found, with the shortest way there", arguments: Mistake.allCases)
    func finds(mistake: Mistake) throws {
        let found = Self.scopes.lazy.compactMap { scope in
            var scope = scope
            scope.mistake = mistake
            return Exploration(scope).fault
        }.first
        let fault = try #require(found, "nothing is wrong with: \(mistake.rawValue)")
        print("\(mistake.rawValue): not so: \(fault.sentence)\n    \(fault.trace.joined(separator: "\n    "))")
        #expect(fault.trace.count <= 20)
    }
}

extension Scope: CustomTestStringConvertible, CustomStringConvertible {
    var description: String {
        "\(hasJob ? "an event with a job" : "\(events) events")\(losesBroker ? ", a broker that comes back empty" : "")"
    }
    var testDescription: String { description }
}

extension Mistake: CustomTestStringConvertible {
    var testDescription: String { rawValue }
}
