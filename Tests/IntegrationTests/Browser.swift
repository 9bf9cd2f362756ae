import Foundation
import FoundationNetworking

/// A headless Chromium, driven through chromedriver's plain HTTP.
final class Browser: Sendable {
    /// Whether both programs are installed; tests that need them are skipped aloud otherwise.
    static let isAvailable: Bool = {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin"
        let folders = path.split(separator: ":")
        return ["chromium", "chromedriver", "curl"].allSatisfy { program in
            folders.contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(program)") }
        }
    }()

    /// A line of the browser's console.
    struct ConsoleLine: Decodable, Sendable {
        let level: String
        let message: String
    }

    private struct Value<T: Decodable>: Decodable { let value: T }
    private struct Session: Decodable { let sessionId: String }

    private let session: String

    /// Runs `body` with a browser of `width` × `height`, and ends the browser afterwards.
    static func with<R>(
        width: Int = 1_280, height: Int = 900, _ body: (Browser) async throws -> R
    ) async throws -> R {
        let driver = Process()
        driver.executableURL = URL(filePath: "/usr/bin/env")
        driver.arguments = ["chromedriver", "--port=0"]
        let output = Pipe()
        driver.standardOutput = output
        driver.standardError = FileHandle.nullDevice
        try driver.run()
        defer {
            // A child of a thread of Swift's pool is born with SIGTERM blocked; it would never end by it.
            kill(driver.processIdentifier, SIGKILL)
            driver.waitUntilExit()
        }
        let port = try await port(from: output.fileHandleForReading)
        let base = "http://127.0.0.1:\(port)/session"
        let capabilities: [String: Any] = [
            "capabilities": [
                "alwaysMatch": [
                    "goog:loggingPrefs": ["browser": "ALL"],
                    "goog:chromeOptions": [
                        "args": [
                            "--headless", "--no-sandbox", "--disable-gpu", "--window-size=\(width),\(height)",
                        ]
                    ],
                ]
            ]
        ]
        let opened: Value<Session> = try await call(base, body: capabilities)
        let browser = Browser(session: "\(base)/\(opened.value.sessionId)")
        do {
            let result = try await body(browser)
            try await browser.close()
            return result
        } catch {
            try await browser.close()
            throw error
        }
    }

    private init(session: String) { self.session = session }

    func open(_ address: String) async throws {
        let _: Value<String?> = try await Browser.call("\(session)/url", body: ["url": address])
    }

    /// What the JavaScript expression is worth in the page.
    func value<T: Decodable>(_ expression: String, as type: T.Type = T.self) async throws -> T {
        let answer: Value<T> = try await Browser.call(
            "\(session)/execute/sync", body: ["script": "return (\(expression));", "args": [String]()])
        return answer.value
    }

    /// Asks until the expression is true, at most `seconds`; the browser offers no way to be told.
    func wait(until expression: String, seconds: Double = 15) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            if try await value("Boolean(\(expression))", as: Bool.self) { return true }
            try await Task.sleep(for: .milliseconds(50))
        }
        return false
    }

    /// What the page has written to the console since the last call, errors of loading among it.
    func console() async throws -> [ConsoleLine] {
        let answer: Value<[ConsoleLine]> = try await Browser.call("\(session)/se/log", body: ["type": "browser"])
        return answer.value
    }

    private func close() async throws {
        let _: Value<String?> = try await Browser.call(session, method: "DELETE", body: nil)
    }

    /// Sent by curl: chromedriver writes its headers without a blank after the colon, which Foundation's own client
    /// for Linux refuses to read.
    private static func call<T: Decodable>(
        _ address: String, method: String = "POST", body: [String: Any]?
    ) async throws -> T {
        var arguments = ["curl", "--silent", "--show-error", "--max-time", "30", "--request", method, address]
        if let body {
            let text = String(decoding: try JSONSerialization.data(withJSONObject: body), as: UTF8.self)
            arguments += ["--header", "content-type: application/json", "--data-binary", text]
        }
        return try JSONDecoder().decode(T.self, from: try await output(of: arguments))
    }

    /// What a program writes; waited for on a thread of its own.
    private static func output(of arguments: [String]) async throws -> Data {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        let process = Process()
                        process.executableURL = URL(filePath: "/usr/bin/env")
                        process.arguments = arguments
                        let pipe = Pipe()
                        process.standardOutput = pipe
                        try process.run()
                        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
                        process.waitUntilExit()
                        return data
                    })
            }
        }
    }

    /// chromedriver says on which port it listens, once it does. Read on a thread of its own: blocked here, the two
    /// threads of Swift's pool on a small machine would stand still for all tests.
    private static func port(from output: FileHandle) async throws -> Int {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try readPort(from: output) })
            }
        }
    }

    private static func readPort(from output: FileHandle) throws -> Int {
        var text = ""
        while let chunk = try output.read(upToCount: 1), !chunk.isEmpty {
            text += String(decoding: chunk, as: UTF8.self)
            if let match = text.firstMatch(of: /on port (\d+)\./), let port = Int(match.1) { return port }
        }
        throw URLError(.cannotConnectToHost)
    }
}
