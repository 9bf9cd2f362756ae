import Foundation
import Synchronization

/// An HTTP server on a free port that keeps what is posted to it; one request a connection.
public final class WebhookSink: Sendable {
    /// What was posted.
    public struct Request: Sendable {
        public let headers: [String: String]
        public let body: Data
    }
    private struct State {
        /// What was posted so far.
        public var requests: [Request] = []
        /// Answers to give, in order; 200 when there is none left.
        var statuses: [Int]
    }

    private let descriptor: Int32
    private let state: Mutex<State>
    /// Where it listens.
    public let url: String

    /// Answers the first requests with `statuses`, and all further ones with 200.
    public init(statuses: [Int] = []) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        self.descriptor = descriptor
        state = Mutex(State(statuses: statuses))
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/hook"
        Thread.detachNewThread { [self] in serve() }
    }

    /// What was posted so far.
    public var requests: [Request] { state.withLock { $0.requests } }

    /// Ends the server.
    public func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private func serve() {
        while true {
            let connection = accept(descriptor, nil, nil)
            guard connection >= 0 else { break }
            if let request = Self.read(connection) {
                let status = state.withLock { state in
                    state.requests.append(request)
                    return state.statuses.isEmpty ? 200 : state.statuses.removeFirst()
                }
                let answer = Array("HTTP/1.1 \(status) OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".utf8)
                _ = write(connection, answer, answer.count)
            }
            Glibc.close(connection)
        }
        Glibc.close(descriptor)
    }

    private static func read(_ connection: Int32) -> Request? {
        var received = Data()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = received.range(of: Data("\r\n\r\n".utf8)) {
                let lines = String(decoding: received[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
                let pairs = lines.dropFirst().compactMap { line -> (String, String)? in
                    let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
                    return parts.count == 2 ? (parts[0].lowercased(), parts[1]) : nil
                }
                let headers = Dictionary(pairs) { first, _ in first }
                let body = received[end.upperBound...]
                if body.count >= Int(headers["content-length"] ?? "0") ?? 0 {
                    return Request(headers: headers, body: Data(body))
                }
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            received.append(contentsOf: buffer[..<count])
        }
    }
}
