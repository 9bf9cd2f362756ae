import Foundation
import Synchronization

/// An HTTP server on 127.0.0.1 that answers each path with bytes laid down beforehand, and then closes the connection.
final class CannedServer: Sendable {
    let port: UInt16
    private let socket: Int32
    private let answers: [String: [UInt8]]

    /// Answers `answers[path]`, head and body, and 404 for any other path.
    init(_ answers: [String: String]) throws {
        self.answers = answers.mapValues { Array($0.utf8) }
        #if canImport(Darwin)
            let kind = SOCK_STREAM
        #else
            let kind = Int32(SOCK_STREAM.rawValue)
        #endif
        socket = Foundation.socket(AF_INET, kind, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listening = socket
        let isReady = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listening, pointer, length) == 0 && listen(listening, 8) == 0
                    && getsockname(listening, pointer, &length) == 0
            }
        }
        guard isReady else { throw POSIXError(.EADDRNOTAVAIL) }
        port = UInt16(bigEndian: address.sin_port)
        // Ends with the socket: accept fails once it is shut.
        Thread.detachNewThread { [self] in serve() }
    }

    /// Stops listening.
    func close() {
        shutdown(socket, Int32(SHUT_RDWR))
        Foundation.close(socket)
    }

    private func serve() {
        while true {
            let connection = accept(socket, nil, nil)
            guard connection >= 0 else { return }
            var request: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
                let count = read(connection, &buffer, buffer.count)
                guard count > 0 else { break }
                request += buffer[0..<count]
            }
            let path = String(decoding: request, as: UTF8.self).split(separator: " ").dropFirst().first.map(String.init)
            let missing = Array("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".utf8)
            let answer = answers[path ?? ""] ?? missing
            _ = write(connection, answer, answer.count)
            Foundation.close(connection)
        }
    }
}
