import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// One request that traffic may send: the model's inputs, and whose they are.
struct TrafficRow: Sendable {
    /// The body, `{"instances": [{…}]}`.
    let body: ByteBuffer
    /// The unit the row belongs to; nil to make one up for each visit.
    let unit: String?
}

/// Sends predictions at a steady rate whether or not earlier ones were answered (an open loop): a slow gateway gets no
/// relief, as with real callers.
final class TrafficGenerator: Sendable {
    /// Requests open at once beyond which a due one is counted as shed instead of sent: past it this process, not the
    /// gateway, would be what is measured.
    static let openMax = 2_000
    static let answerTimeout: TimeAmount = .seconds(10)

    let meter = TrafficMeter()
    private let url: String
    private let token: String?
    private let client: HTTPClient
    private let rows: Mutex<[TrafficRow]>
    private let rate: Mutex<Double>
    private let open = Atomic<Int>(0)
    private let visits = Atomic<Int>(0)
    /// Makes units of different runs different.
    private let run = String(UInt64.random(in: 0...UInt64.max), radix: 36)

    /// - Parameter rate: requests per second; 0 pauses.
    init(gateway: String, model: String, token: String?, rows: [TrafficRow], rate: Double, client: HTTPClient) {
        url = "\(gateway)/v1/models/\(model):predict"
        self.token = token
        self.client = client
        self.rows = Mutex(rows)
        self.rate = Mutex(rate)
    }

    /// Sends `rows` from now on.
    func use(rows: [TrafficRow]) { self.rows.withLock { $0 = rows } }

    /// Sends at `rate` requests per second from now on.
    func use(rate: Double) { self.rate.withLock { $0 = rate } }

    /// Sends until `duration` is over or the task is cancelled, then waits for the open answers.
    func run(for duration: Duration? = nil) async {
        let clock = ContinuousClock()
        let start = clock.now
        await withDiscardingTaskGroup { group in
            var previous = start
            var due = 0.0
            while !Task.isCancelled {
                let now = clock.now
                if let duration, now - start >= duration { break }
                due += (now - previous).seconds * rate.withLock { $0 }
                previous = now
                while due >= 1 {
                    due -= 1
                    guard open.load(ordering: .relaxed) < TrafficGenerator.openMax, let row = nextRow() else {
                        meter.shed()
                        continue
                    }
                    open.add(1, ordering: .relaxed)
                    group.addTask { await self.send(row, dueAt: now) }
                }
                // Requests leave in small groups: a finer pace would cost more than the requests themselves.
                guard await Watch.pause(.milliseconds(2)) else { break }
            }
        }
    }

    private func nextRow() -> (TrafficRow, visit: Int)? {
        let visit = visits.add(1, ordering: .relaxed).newValue
        return rows.withLock { rows in rows.isEmpty ? nil : (rows[Self.place(of: visit, among: rows.count)], visit) }
    }

    private func send(_ row: (TrafficRow, visit: Int), dueAt: ContinuousClock.Instant) async {
        defer { open.subtract(1, ordering: .relaxed) }
        var request = HTTPClientRequest(url: url)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "x-naura-unit", value: row.0.unit ?? "\(run)-\(row.visit)")
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        request.body = .bytes(row.0.body)
        meter.sent()
        do {
            let response = try await client.execute(request, timeout: TrafficGenerator.answerTimeout)
            let body = try await response.body.collect(upTo: 1 << 20)
            meter.answered(
                status: Int(response.status.code), arm: TrafficGenerator.arm(of: response.headers),
                seconds: (ContinuousClock().now - dueAt).seconds, detail: String(buffer: body))
        } catch {
            meter.unanswered(error)
        }
    }

    /// `canary/4`: the arm and version that answered, as the gateway says.
    private static func arm(of headers: HTTPHeaders) -> String {
        let arm = headers.first(name: "x-naura-arm") ?? "unknown"
        return headers.first(name: "x-naura-version").map { "\(arm)/\($0)" } ?? arm
    }

    /// Walks through all rows by steps of the golden ratio: any stretch of visits is a fair sample of them, where one
    /// after another would show a monitor first January's customers and then February's.
    static func place(of visit: Int, among count: Int) -> Int {
        let fraction = (UInt64(truncatingIfNeeded: visit) &* 0x9E37_79B9_7F4A_7C15) >> 32
        return Int((fraction * UInt64(count)) >> 32)
    }
}
