import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Asks processes of this machine how they are.
enum Health {
    /// Whether the process that answers on `port` of 127.0.0.1 says that it is ready. No answer is no.
    static func isReady(port: Int) async -> Bool {
        do {
            let request = HTTPClientRequest(url: "http://127.0.0.1:\(port)/health/ready")
            return try await HTTPClient.shared.execute(request, timeout: .milliseconds(500)).status == .ok
        } catch {
            // Whatever keeps it from answering, the next look is the answer to it.
            return false
        }
    }
}
