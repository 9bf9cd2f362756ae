import Foundation

/// Ports of 127.0.0.1 that nobody listens on.
public enum FreePort {
    /// A free port; see ``choose(_:)``.
    public static func choose() throws(ProcessFault) -> Int { try choose(1)[0] }

    /// `count` different ports that were free a moment ago, below those that the kernel gives to outgoing connections.
    ///
    /// One of theirs could be taken by any client while its server is away, even by one that tries to reach the server
    /// and then meets itself.
    /// - Throws: ``ProcessFault`` `no-port`.
    public static func choose(_ count: Int) throws(ProcessFault) -> [Int] {
        var ports: [Int] = []
        for _ in 0..<(100 * count) where ports.count < count {
            let port = Int.random(in: 15_000..<32_000)
            if !ports.contains(port), isFree(port) { ports.append(port) }
        }
        guard ports.count == count else { throw ProcessFault(.noPort, "127.0.0.1 has no free port") }
        return ports
    }

    /// Whether a server could listen on `port` now.
    public static func isFree(_ port: Int) -> Bool {
        #if os(Linux)
            // A child that another thread starts at this moment would otherwise keep the port.
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // As servers do: else a port whose last connections linger in TIME_WAIT looks taken for a minute.
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 && listen(descriptor, 1) == 0
            }
        }
    }
}
