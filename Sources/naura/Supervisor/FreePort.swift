import Foundation
import Glibc

/// Ports of 127.0.0.1 that nobody listens on.
enum FreePort {
    /// Whether a server could listen on `port` now.
    static func isFree(_ port: Int) -> Bool { listen(on: UInt16(port)).map { close($0.descriptor) } != nil }

    /// `count` different free ports, chosen by the kernel among its ephemeral ones.
    ///
    /// All are held while the others are chosen, so that none comes twice.
    /// - Throws: ``CommandError`` when the kernel has none.
    static func choose(_ count: Int) throws -> [Int] {
        var held: [(descriptor: Int32, port: Int)] = []
        defer { held.forEach { close($0.descriptor) } }
        for _ in 0..<count {
            guard let next = listen(on: 0) else { throw CommandError(.process, "no port of 127.0.0.1 is free") }
            held.append(next)
        }
        return held.map(\.port)
    }

    private static func listen(on port: UInt16) -> (descriptor: Int32, port: Int)? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        // Without it a port whose last connections linger in TIME_WAIT looks taken for a minute after a restart.
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(0x7f00_0001).bigEndian)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && Glibc.listen(descriptor, 1) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else {
            close(descriptor)
            return nil
        }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }
}
