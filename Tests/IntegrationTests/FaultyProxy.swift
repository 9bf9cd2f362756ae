// A TCP proxy of the tests' own, between a worker and its database or broker: it holds, delays, cuts in mid-answer.

import Foundation
import NauraTestKit
import Synchronization
import Testing

/// Passes bytes on, until it is told to do something worse.
///
/// Two threads a connection, blocking: it must not depend on the pool that the tests run on.
final class FaultyProxy: Sendable {
    enum Mode: Equatable, Sendable {
        case pass
        /// Nothing is read and nothing is passed on; connections stay open.
        case hold
        /// Each piece waits so long before it goes on.
        case delay(milliseconds: UInt32)
        /// An answer is cut after so many bytes, in the midst of it, and the connection with it.
        case cut(afterBytes: Int)
    }

    /// Where it listens on 127.0.0.1.
    let port: Int
    private let listener: Int32
    private struct State {
        var mode = Mode.pass
        var target = 0
        var isEnded = false
        var pairs: [Int: (client: Int32, server: Int32)] = [:]
        var number = 0
        var cuts = 0
    }
    private let state = Mutex(State())

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(0)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
        }
        guard listener >= 0, isBound == 0, listen(listener, 64) == 0 else {
            throw HarnessError(description: "the proxy cannot listen: errno \(errno)")
        }
        var length = size
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
        }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        _ = fcntl(listener, F_SETFD, FD_CLOEXEC)
        Thread.detachNewThread { self.accept() }
    }

    /// Lends a proxy before a test database: it, the database's own address, and the address through it.
    static func withDatabase(_ body: (FaultyProxy, String, String) async throws -> Void) async throws {
        let proxy = try FaultyProxy()
        defer { proxy.end() }
        try await TestDatabase.withURL { url in
            var address = try #require(URLComponents(string: url))
            proxy.lead(to: address.port ?? 5432)
            address.port = proxy.port
            try await body(proxy, url, try #require(address.string))
        }
    }

    /// Sends new connections to `port` of 127.0.0.1.
    func lead(to port: Int) { state.withLock { $0.target = port } }
    func set(_ mode: Mode) { state.withLock { $0.mode = mode } }
    /// Connections that were cut in the midst of an answer.
    var cuts: Int { state.withLock { $0.cuts } }

    /// Cuts every connection that is open now.
    func cutAll() { for pair in state.withLock({ Array($0.pairs.values) }) { Self.shut(pair) } }

    func end() {
        state.withLock { $0.isEnded = true }
        cutAll()
        shutdown(listener, Int32(SHUT_RDWR))
    }

    // MARK: - Threads

    private func accept() {
        while true {
            let client = Foundation.accept(listener, nil, nil)
            let (target, isEnded) = state.withLock { ($0.target, $0.isEnded) }
            guard client >= 0, !isEnded else {
                close(listener)
                return
            }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.address(target)
            let isOpen = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard isOpen == 0 else {
                close(client)
                close(server)
                continue
            }
            var one: Int32 = 1
            for end in [client, server] {
                _ = fcntl(end, F_SETFD, FD_CLOEXEC)
                setsockopt(end, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            }
            let number = state.withLock { state in
                state.number += 1
                state.pairs[state.number] = (client, server)
                return state.number
            }
            let ends = Ends()
            Thread.detachNewThread { self.pump(from: client, to: server, isAnswer: false, number, ends) }
            Thread.detachNewThread { self.pump(from: server, to: client, isAnswer: true, number, ends) }
        }
    }

    /// Counts the two threads of a connection: the second one closes it.
    private final class Ends: Sendable { let left = Atomic<Int>(2) }

    private func pump(from: Int32, to: Int32, isAnswer: Bool, _ number: Int, _ ends: Ends) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var passed = 0
        loop: while true {
            var mode = state.withLock { $0.mode }
            while mode == .hold, !state.withLock({ $0.isEnded }) {
                usleep(10_000)
                mode = state.withLock { $0.mode }
            }
            var descriptor = pollfd(fd: from, events: Int16(POLLIN), revents: 0)
            let ready = poll(&descriptor, 1, 20)
            if ready == 0 { continue }
            // Told to hold while it waited: what has come stays where it is.
            if state.withLock({ $0.mode }) == .hold { continue }
            var count = recv(from, &buffer, buffer.count, 0)
            if count <= 0 { break }
            if case .delay(let milliseconds) = mode { usleep(milliseconds * 1_000) }
            var isCut = false
            if case .cut(let limit) = mode, isAnswer, passed + count > limit {
                count = max(0, limit - passed)
                isCut = true
            }
            passed += count
            var sent = 0
            while sent < count {
                let written = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                if written <= 0 { break loop }
                sent += written
            }
            if isCut {
                state.withLock { $0.cuts += 1 }
                break
            }
        }
        let pair = state.withLock { $0.pairs[number] }
        if let pair { Self.shut(pair) }
        if ends.left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            state.withLock { $0.pairs[number] = nil }
            close(from)
            close(to)
        }
    }

    private static func shut(_ pair: (client: Int32, server: Int32)) {
        shutdown(pair.client, Int32(SHUT_RDWR))
        shutdown(pair.server, Int32(SHUT_RDWR))
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(0x7f00_0001).bigEndian)
        return address
    }
}
