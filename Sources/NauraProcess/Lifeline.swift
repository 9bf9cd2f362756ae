import Foundation
import Synchronization

/// A pipe whose writing end this process holds as long as a group of processes may live; see ``Launch/spawn(lifeline:)``.
public final class Lifeline: Sendable {
    /// The group's end of the pipe, as its watchdog knows it.
    static let descriptor: Int32 = 3

    /// Leaves a shell in the group that kills it when the other end of the pipe is gone, which is with this process.
    ///
    /// It is a child of nobody who is still there: a program that waits for any child would else wait for it.
    static let watchdog = """
        ( ( read -r _ <&3; kill -KILL 0 ) & )
        exec 3<&-

        """

    let reader: Int32
    private let writer: Mutex<Int32>

    /// - Throws: ``ProcessFault`` `cannot-start` when no descriptor is left.
    public init() throws(ProcessFault) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw ProcessFault(.cannotStart, "no pipe can be made: \(String(cString: strerror(errno)))")
        }
        // Another program started at this moment must not hold it open.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        reader = ends[0]
        writer = Mutex(ends[1])
    }

    deinit {
        close(reader)
        letGo()
    }

    /// Whether the group may still live.
    public var isHeld: Bool { writer.withLock { $0 >= 0 } }

    /// Has what is left of the group killed.
    public func letGo() {
        writer.withLock { writer in
            if writer >= 0 { close(writer) }
            writer = -1
        }
    }
}
