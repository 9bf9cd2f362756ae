// Programs that jobs run: in a process group of their own, of which nothing outlives the job.

import Foundation
import NauraProcess

/// Runs a program for a job.
public enum JobProgram {
    /// How long a program may take to end after SIGTERM; then its whole group gets SIGKILL.
    public static let graceSeconds = 2.0

    /// A program that could not be started.
    public struct Fault: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Runs the program at `path` until it ends, and whatever it has started with it.
    ///
    /// When the task is cancelled (the job's time is up, a person has cancelled it, its lease is lost, the worker stops)
    /// the whole group is ended: SIGTERM, then SIGKILL. So it is when this process dies, however it dies.
    /// - Parameters:
    ///   - environment: all of it; the program inherits nothing.
    ///   - output: the file that takes what it writes; made or emptied.
    /// - Returns: the exit code, or the negative number of the signal that ended it.
    /// - Throws: ``Fault``, or `CancellationError` once nothing of the group is left.
    public static func run(
        _ path: String, _ arguments: [String] = [], environment: [String: String] = [:], directory: String = "/",
        output: String
    ) async throws -> Int32 {
        let lifeline: Lifeline
        let group: pid_t
        do {
            lifeline = try Lifeline()
            group = try Launch(
                executable: path, arguments: arguments, environment: environment, directory: directory, log: output,
                emptiesLog: true
            ).spawn(lifeline: lifeline)
        } catch {
            throw Fault(description: "\(error)")
        }
        let status = await withTaskCancellationHandler {
            await Children.end(of: group)
        } onCancel: {
            kill(-group, SIGTERM)
            Thread.detachNewThread {
                Thread.sleep(forTimeInterval: graceSeconds)
                // The leader's number stays taken until it was waited for, which closes the lifeline too.
                if lifeline.isHeld { kill(-group, SIGKILL) }
            }
        }
        // What the program has left behind goes with it, and the watchdog.
        kill(-group, SIGKILL)
        lifeline.letGo()
        try Task.checkCancellation()
        return status
    }
}
