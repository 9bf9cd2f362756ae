import AsyncHTTPClient
import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import NauraFailpoints

/// Brings data to this machine.
public enum DataSource {
    /// How long one attempt at an address may take.
    private static let attemptTimeout: TimeAmount = .minutes(30)
    private static let connectTimeout: TimeAmount = .seconds(10)
    /// How long a server may be silent.
    private static let silenceTimeout: TimeAmount = .seconds(60)

    /// A local copy of what an address held.
    public struct FetchedFile: Sendable, Equatable {
        /// Where the copy lies. The caller removes it.
        public let path: String
        /// The SHA-256 of its bytes, 64 hex digits.
        public let sha256: String
        /// Its size.
        public let bytes: Int64

        /// Removes the copy, where it still is.
        public func remove() { unlink(path) }
    }

    /// Copies what lies at `uri` into a new file in `directory`, with its SHA-256 and size made on the way.
    ///
    /// `file://` and `http(s)://` are read; `s3://` and Parquet are refused with a clear fault. Nothing is left behind
    /// when it throws.
    ///
    /// - Throws: ``DataFault``: `not-found`, `unreadable`, `unsupported`, `cut-off` (fewer bytes than were announced),
    ///   `checksum` (other bytes than `expectedSHA256`). Transient for HTTP's 5xx, 408 and 429 and lost connections.
    public static func fetch(
        uri: String, format: DataFormat, expectedSHA256: String? = nil, into directory: String
    ) async throws(DataFault) -> FetchedFile {
        if format == .parquet {
            throw DataFault(.unsupported, "\(uri): Parquet files are not read yet; publish the data as csv or jsonl")
        }
        guard let colon = uri.range(of: "://") else {
            throw DataFault(.unsupported, "'\(uri)' is no address; expected file:///…, http://… or https://…")
        }
        try FileSystem.makeDirectory(directory)
        let path = "\(directory)/\(UUID().uuidString)"
        do throws(DataFault) {
            let fetched: FetchedFile
            switch uri[..<colon.lowerBound].lowercased() {
            case "file": fetched = try copy(uri: uri, to: path)
            case "http", "https": fetched = try await download(uri: uri, to: path)
            case "s3":
                throw DataFault(
                    .unsupported, "\(uri): s3 addresses are not supported yet; publish a file:// or https:// address")
            case let scheme:
                throw DataFault(.unsupported, "\(uri): the scheme '\(scheme)' is not read; use file, http or https")
            }
            if let expectedSHA256, expectedSHA256.lowercased() != fetched.sha256 {
                throw DataFault(
                    .checksum, "\(uri): the event announces SHA-256 \(expectedSHA256), the bytes have \(fetched.sha256)"
                )
            }
            Failpoint.fileFetched.reach()
            return fetched
        } catch {
            unlink(path)
            throw error
        }
    }

    /// The path that a `file://` address means.
    static func path(ofFile uri: String) throws(DataFault) -> String {
        let rest = uri.dropFirst("file://".count)
        // file:///path and file://localhost/path are this machine; any other host is not.
        guard let slash = rest.firstIndex(of: "/"), slash == rest.startIndex || rest[..<slash] == "localhost" else {
            throw DataFault(.unsupported, "\(uri): a file address is file:///absolute/path on this machine")
        }
        let path = String(rest[slash...])
        // A name may hold a bare percent sign: then it is no escape, and the path is meant as it stands.
        if access(path, F_OK) == 0 { return path }
        return path.removingPercentEncoding ?? path
    }

    private static func copy(uri: String, to path: String) throws(DataFault) -> FetchedFile {
        let source = try Self.path(ofFile: uri)
        var status = stat()
        guard stat(source, &status) == 0 else { throw DataFault.fromErrno("\(uri)") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw DataFault(.unreadable, "\(uri) is not a file") }
        var sink = try HashingSink(path: path)
        do throws(DataFault) {
            try FileSystem.forEachChunk(of: source) { (chunk) throws(DataFault) in try sink.write(chunk) }
        } catch  where error.code == .notFound || error.code == .unreadable {
            throw DataFault(error.code, "\(uri): \(error.message)")
        }
        return try sink.finish(path)
    }

    private static func download(uri: String, to path: String) async throws(DataFault) -> FetchedFile {
        var configuration = HTTPClient.Configuration()
        configuration.timeout = .init(connect: connectTimeout, read: silenceTimeout)
        // The caller decides about another attempt; without this a refused connection is retried for the whole timeout.
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let result: Result<FetchedFile, DataFault>
        do throws(DataFault) {
            result = .success(try await download(uri: uri, to: path, by: client))
        } catch {
            result = .failure(error)
        }
        do {
            try await client.shutdown()
        } catch {
            throw DataFault(.unreadable, "\(uri): the connection did not close: \(error)", isTransient: true)
        }
        return try result.get()
    }

    private static func download(
        uri: String, to path: String, by client: HTTPClient
    ) async throws(DataFault) -> FetchedFile {
        do {
            let response = try await client.execute(HTTPClientRequest(url: uri), timeout: attemptTimeout)
            let status = Int(response.status.code)
            guard status == 200 else {
                let isTransient = status >= 500 || status == 408 || status == 429
                let code: DataFault.Code = status == 404 || status == 410 ? .notFound : .unreadable
                throw DataFault(code, "\(uri): the server answered \(response.status)", isTransient: isTransient)
            }
            let announced = response.headers.first(name: "content-length").flatMap { Int64($0) }
            var sink = try HashingSink(path: path)
            for try await part in response.body {
                try part.withUnsafeReadableBytes { try sink.write($0) }
            }
            let fetched = try sink.finish(path)
            if let announced, announced != fetched.bytes {
                throw DataFault(.cutOff, "\(uri): \(fetched.bytes) of \(announced) bytes came", isTransient: true)
            }
            return fetched
        } catch let fault as DataFault {
            throw fault
        } catch let error as HTTPClientError where error == .invalidURL || error == .emptyHost {
            throw DataFault(.unsupported, "\(uri): \(error)")
        } catch let error as HTTPClientError where error == .remoteConnectionClosed {
            throw DataFault(.cutOff, "\(uri): the server closed the connection early", isTransient: true)
        } catch HTTPParserError.invalidEOFState {
            throw DataFault(.cutOff, "\(uri): the server closed the connection early", isTransient: true)
        } catch {
            throw DataFault(.unreadable, "\(uri): \(error)", isTransient: true)
        }
    }
}

/// Writes a file and its SHA-256 at the same time.
private struct HashingSink {
    private let file: FileWriter
    private var hash = SHA256()
    private var bytes: Int64 = 0

    init(path: String) throws(DataFault) { file = try FileWriter(path: path) }

    mutating func write(_ chunk: UnsafeRawBufferPointer) throws(DataFault) {
        hash.update(bufferPointer: chunk)
        bytes += Int64(chunk.count)
        try file.write(chunk)
    }

    func finish(_ path: String) throws(DataFault) -> DataSource.FetchedFile {
        try file.finish()
        return DataSource.FetchedFile(path: path, sha256: Digest.hex(hash.finalize()), bytes: bytes)
    }
}
