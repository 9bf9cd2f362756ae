import CRDKafka
import Foundation
import Synchronization

/// Counts a client's connections, and lets it make no more once it has lost all it had.
///
/// librdkafka 2.8 corrupts its memory when a topic comes back under another id (its issue 4964; not as ops/bootstrap builds
/// it, for a client may meet the new broker before it has noticed the old one), and crashes on the laptop broker's answer to
/// a fetch of a topic that is gone. A memory-only broker that was restarted brings about both
/// within milliseconds of the reconnection, before any event could warn us. So the client that knew the old broker
/// never meets the new one: whoever owns it sees the shut door and takes a new client.
///
/// A client of a cluster that runs on loses all connections at once only when it was idle for long or the network
/// failed; a new client is then no loss.
final class ConnectionDoor: Sendable {
    private struct State {
        var sockets: Set<Int32> = []
        var isArmed = false
        var isShut = false
    }

    private let state = Mutex(State())

    var isArmed: Bool { state.withLock(\.isArmed) }
    var isShut: Bool { state.withLock(\.isShut) }

    /// Has librdkafka ask here before each connection; holds a reference that ``uninstall()`` gives back.
    func install(in configuration: OpaquePointer?) {
        rd_kafka_conf_set_opaque(configuration, Unmanaged.passRetained(self).toOpaque())
        rd_kafka_conf_set_connect_cb(configuration) { socket, address, size, _, opaque in
            guard let opaque, Unmanaged<ConnectionDoor>.fromOpaque(opaque).takeUnretainedValue().enter(socket) else {
                return ECONNREFUSED
            }
            // The socket does not block: EINPROGRESS is the usual case and no error to librdkafka.
            guard connect(socket, address, socklen_t(size)) != 0, errno != EINPROGRESS else { return 0 }
            return errno
        }
        rd_kafka_conf_set_closesocket_cb(configuration) { socket, opaque in
            // Forgotten before it is closed: the number may be another thread's socket a moment later.
            if let opaque { Unmanaged<ConnectionDoor>.fromOpaque(opaque).takeUnretainedValue().leave(socket) }
            return close(socket)
        }
    }

    /// To be called once, when librdkafka has no thread left.
    func uninstall() { Unmanaged.passUnretained(self).release() }

    /// From now on the loss of the last connection shuts the door: the client has met a cluster.
    func arm() {
        state.withLock { state in
            state.isArmed = true
            if state.sockets.isEmpty { state.isShut = true }
        }
    }

    func shut() { state.withLock { $0.isShut = true } }

    private func enter(_ socket: Int32) -> Bool {
        state.withLock { state in
            if state.isShut { return false }
            state.sockets.insert(socket)
            return true
        }
    }

    private func leave(_ socket: Int32) {
        state.withLock { state in
            guard state.sockets.remove(socket) != nil, state.sockets.isEmpty, state.isArmed else { return }
            state.isShut = true
        }
    }
}
