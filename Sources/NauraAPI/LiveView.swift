import Foundation
import Logging
import NauraPostgres
import ServiceLifecycle

/// The page's moving parts, read once for all viewers and pushed to each when they change.
///
/// Woken by the ledger's notifications and each second; reads at most four times a second, and not at all while
/// nobody looks.
actor LiveView: Service {
    /// A rendered part and the id of the element that it fills.
    struct Fragment: Sendable, Equatable {
        let id: String
        let html: String
    }

    private let database: Database
    private let pages: Pages
    private let logger: Logger
    private var shown: [Fragment] = []
    private var snapshot: LoopSnapshot?
    private var awaySince: Date?
    private var viewers: [Int: AsyncStream<[Fragment]>.Continuation] = [:]
    private var nextViewer = 0
    private var reading: Task<Void, Never>?
    private let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// The time between two readings at least: four pushes a second.
    private static let pause = Duration.milliseconds(250)
    private static let channels = ["naura_outbox", "naura_job", "naura_route"]

    init(database: Database, pages: Pages, logger: Logger) {
        self.database = database
        self.pages = pages
        self.logger = logger
    }

    nonisolated func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { [database, wake] in
                for await _ in database.listen(Self.channels).cancelOnGracefulShutdown() { wake.yield() }
                wake.finish()
            }
            group.addTask { [wakes] in
                for await _ in wakes.cancelOnGracefulShutdown() {
                    guard await self.isWatched else { continue }
                    await self.refresh()
                    // A limit on the rate, not a wait for something: what arrives meanwhile is one wake afterwards.
                    try await Task.sleep(for: Self.pause)
                }
                await self.dismissViewers()
            }
        }
    }

    private var isWatched: Bool { !viewers.isEmpty }

    /// The whole page, as of now.
    func page() async -> String {
        await refresh()
        return pages.page(snapshot ?? LoopSnapshot(time: .now), awaySince: awaySince)
    }

    /// Parts as they change from now on; the first element is what is shown already, so that a viewer who reconnects
    /// misses nothing. Ends when the server stops.
    func subscribe() -> (id: Int, fragments: AsyncStream<[Fragment]>) {
        let (stream, continuation) = AsyncStream.makeStream(of: [Fragment].self, bufferingPolicy: .bufferingNewest(16))
        nextViewer += 1
        viewers[nextViewer] = continuation
        if !shown.isEmpty { continuation.yield(shown) }
        wake.yield()
        return (nextViewer, stream)
    }

    func unsubscribe(_ id: Int) {
        viewers.removeValue(forKey: id)?.finish()
    }

    private func dismissViewers() {
        for continuation in viewers.values { continuation.finish() }
        viewers = [:]
    }

    /// Reads the tables and pushes what looks different; a reading under way is shared by all who ask.
    private func refresh() async {
        if let reading { return await reading.value }
        let task = Task { await readAndPush() }
        reading = task
        await task.value
        reading = nil
    }

    private func readAndPush() async {
        do {
            snapshot = try await LoopSnapshot.read(from: database)
            if awaySince != nil { logger.notice("the page shows the database again") }
            awaySince = nil
        } catch {
            // The page keeps its last picture and says since when it is old.
            if awaySince == nil {
                logger.warning("the page cannot read the database", metadata: ["error": "\(error)"])
                awaySince = .now
            }
        }
        let fragments = pages.fragments(snapshot ?? LoopSnapshot(time: .now), awaySince: awaySince)
        let changed = fragments.filter { !shown.contains($0) }
        shown = fragments
        guard !changed.isEmpty else { return }
        for continuation in viewers.values { continuation.yield(changed) }
    }
}
