import NauraEvents
import Synchronization

/// The answers of one model that wait to be published.
///
/// Records are JSON already, so that a batch is its records put together. What does not fit the budget that all logs of
/// a gateway share is dropped and counted; an answer never waits for room.
final class PredictionLog: Sendable {
    /// An event holds at most so many answers.
    static let itemsPerBatchMax = 500
    /// A batch is closed before it grows beyond this: Kafka's usual limit is 1 MB a record.
    static let bytesPerBatchMax = 512 * 1024

    private struct State {
        var open: [UInt8] = []
        var count = 0
        var closed: [PredictionBatch] = []
        var number: Int64 = 0
        /// Capacity that the next batch starts with: what the last one took.
        var usual = 0
    }

    private let model: ModelID
    private let head: [UInt8]
    private let budget: RecordBudget
    private let state = Mutex(State())

    init(model: ModelID, budget: RecordBudget) {
        self.model = model
        self.budget = budget
        var head: [UInt8] = []
        head.append("{\"model\":")
        head.appendJSON(model.rawValue)
        head.append(",\"items\":[")
        self.head = head
    }

    /// Takes the records of one request: `ends` says where each ends in `records`.
    ///
    /// - Returns: whether a batch became full and wants to be sent.
    func append(_ records: UnsafeBufferPointer<UInt8>, ends: UnsafeBufferPointer<Int>) -> Bool {
        state.withLock { state in
            var start = 0
            var isFull = false
            for end in ends {
                defer { start = end }
                let size = end - start
                guard size < Self.bytesPerBatchMax, budget.take(size) else {
                    budget.drop()
                    continue
                }
                if state.count == Self.itemsPerBatchMax || state.open.count + size >= Self.bytesPerBatchMax {
                    close(&state)
                    isFull = true
                }
                if state.count == 0 {
                    state.open.reserveCapacity(min(state.usual, Self.bytesPerBatchMax))
                    state.open.append(contentsOf: head)
                } else {
                    state.open.append(0x2C)
                }
                state.open.append(contentsOf: UnsafeBufferPointer(rebasing: records[start..<end]))
                state.count += 1
            }
            return isFull
        }
    }

    /// Takes all batches out, the open one too.
    func drain() -> [PredictionBatch] {
        let batches = state.withLock { state in
            close(&state)
            defer { state.closed = [] }
            return state.closed
        }
        for batch in batches {
            // Without the head, the commas between, and the two brackets behind: what was taken.
            budget.give(back: batch.body.count - head.count - (batch.count - 1) - 2)
        }
        return batches
    }

    private func close(_ state: inout State) {
        guard state.count > 0 else { return }
        state.open.append("]}")
        state.number += 1
        state.closed.append(PredictionBatch(model: model, number: state.number, count: state.count, body: state.open))
        state.usual = state.open.count + 1024
        state.open = []
        state.count = 0
    }
}

/// How many bytes of records all logs of a gateway may hold, and how many records found no room.
final class RecordBudget: Sendable {
    private let bytesMax: Int
    private let used = Atomic<Int>(0)
    private let lost = Atomic<Int>(0)

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Records that were dropped since the start.
    var dropped: Int { lost.load(ordering: .relaxed) }

    /// Bytes held now.
    var pendingBytes: Int { used.load(ordering: .relaxed) }

    func take(_ bytes: Int) -> Bool {
        guard used.add(bytes, ordering: .relaxed).newValue <= bytesMax else {
            used.subtract(bytes, ordering: .relaxed)
            return false
        }
        return true
    }

    func give(back bytes: Int) { used.subtract(bytes, ordering: .relaxed) }

    func drop() { lost.add(1, ordering: .relaxed) }
}
