import Foundation

/// The bytes of a file, a buffer at a time.
final class ByteReader {
    private static let capacity = 256 * 1_024

    private let descriptor: Int32
    private let storage: UnsafeMutablePointer<UInt8>
    private let path: String
    /// The first byte that has not been taken.
    var position = 0
    /// The end of the bytes in the buffer.
    private(set) var limit = 0

    init(path: String) throws(DataFault) {
        let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw DataFault.fromErrno("cannot open \(path)") }
        self.descriptor = descriptor
        self.path = path
        storage = .allocate(capacity: Self.capacity)
    }

    deinit {
        close(descriptor)
        storage.deallocate()
    }

    /// The buffer; bytes `position ..< limit` are unread.
    @inline(__always)
    var bytes: UnsafePointer<UInt8> { UnsafePointer(storage) }

    /// Whether a byte is at `position`, after reading more of the file when the buffer is used up.
    @inline(__always)
    func hasByte() throws(DataFault) -> Bool {
        if position < limit { return true }
        return try refill()
    }

    private func refill() throws(DataFault) -> Bool {
        while true {
            let count = read(descriptor, storage, Self.capacity)
            if count < 0 {
                if errno == EINTR { continue }
                throw DataFault.fromErrno("cannot read \(path)")
            }
            position = 0
            limit = count
            return count > 0
        }
    }

    /// Steps over a byte order mark, and refuses beginnings that only other encodings and compressed files have.
    func takeByteOrderMark() throws(DataFault) {
        guard try hasByte() else { throw DataFault(.empty, "the file is empty") }
        let first = Array(UnsafeBufferPointer(start: bytes, count: min(limit, 4)))
        if first.starts(with: [0xEF, 0xBB, 0xBF]) {
            position = 3
        } else if first.starts(with: [0xFF, 0xFE]) || first.starts(with: [0xFE, 0xFF]) {
            throw DataFault(.encoding, "the file is UTF-16; Naura reads UTF-8 text", line: 1)
        } else if first.starts(with: [0x1F, 0x8B]) {
            throw DataFault(.encoding, "the file is compressed with gzip; publish it unpacked", line: 1)
        } else if first.starts(with: Array("PK".utf8) + [3, 4]) {
            throw DataFault(.encoding, "the file is a zip archive or a workbook; publish it as csv", line: 1)
        } else if first.starts(with: Array("PAR1".utf8)) {
            throw DataFault(.unsupported, "Parquet files are not read yet; publish the data as csv or jsonl")
        }
    }
}

extension DataFault {
    /// A fault from the operating system's last error.
    static func fromErrno(_ doing: String, code: Int32 = errno) -> DataFault {
        let reason = String(cString: strerror(code))
        let kind: Code = code == ENOENT || code == ENOTDIR ? .notFound : .unreadable
        return DataFault(kind, "\(doing): \(reason)")
    }
}

/// Whether bytes are UTF-8 text that a database takes.
enum UTF8Check {
    /// What is wrong with `bytes`; nil when nothing is.
    static func fault(in bytes: UnsafeBufferPointer<UInt8>) -> String? {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return nil }
        if memchr(base, 0, bytes.count) != nil { return "a zero byte" }
        var index = firstHighByte(base, bytes.count)
        while index < bytes.count {
            let length = sequenceLength(base + index, bytes.count - index)
            guard length > 0 else {
                return "byte 0x\(String(base[index], radix: 16, uppercase: true)) is not UTF-8"
            }
            index += length
        }
        return nil
    }

    /// The index of the first byte over 0x7F, looking at eight at a time.
    private static func firstHighByte(_ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var index = 0
        let raw = UnsafeRawPointer(base)
        while index + 8 <= count {
            let word = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if word & 0x8080_8080_8080_8080 != 0 { break }
            index += 8
        }
        while index < count, base[index] < 0x80 { index += 1 }
        return index
    }

    /// The length of the well-formed sequence at `bytes` (Unicode 15, table 3-7), or 0.
    private static func sequenceLength(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        let first = bytes[0]
        if first < 0x80 { return 1 }
        if first < 0xC2 || first > 0xF4 { return 0 }
        let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        guard count >= length else { return 0 }
        var lowest: UInt8 = 0x80
        var highest: UInt8 = 0xBF
        switch first {
        case 0xE0: lowest = 0xA0
        case 0xED: highest = 0x9F
        case 0xF0: lowest = 0x90
        case 0xF4: highest = 0x8F
        default: break
        }
        guard bytes[1] >= lowest, bytes[1] <= highest else { return 0 }
        for index in 2..<max(2, length) where bytes[index] & 0xC0 != 0x80 { return 0 }
        return length
    }
}
