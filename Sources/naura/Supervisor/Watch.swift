/// Looks at what tells nobody of its changes: processes of others, files, servers that do not answer yet.
enum Watch {
    /// Looks every `interval` until `condition` holds. Returns false after `timeout`, or when the task is cancelled.
    static func until(
        timeout: Duration, every interval: Duration = .milliseconds(40),
        _ condition: () async throws -> Bool
    ) async rethrows -> Bool {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while true {
            if try await condition() { return true }
            guard clock.now < deadline, await pause(interval) else { return false }
        }
    }

    /// Returns after `duration`, or at once with false when the task is cancelled.
    static func pause(_ duration: Duration) async -> Bool {
        do {
            try await ContinuousClock().sleep(for: duration)
            return true
        } catch {
            // Cancellation is the only error of a sleep, and the caller's answer to it is to stop looking.
            return false
        }
    }
}
