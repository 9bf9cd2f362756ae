import Foundation
import NauraRules

/// Feeds a reader of what comes from outside with damaged samples, as long as one likes.
///
/// `NAURA_FUZZ_ROUNDS` says how many (2,000 where it is not set), `NAURA_FUZZ_SEED` repeats a run. The input at work lies
/// in a file of its own, so that a reader that ends the process leaves behind what ended it.
public enum Fuzz {
    /// Inputs for each reader.
    public static let rounds = number("NAURA_FUZZ_ROUNDS").map(Int.init) ?? 2_000
    /// Decides all damage.
    public static let seed = number("NAURA_FUZZ_SEED") ?? UInt64.random(in: 0...UInt64(UInt32.max))

    /// An input that a reader did not take as it should.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Calls `body` with each of `samples` as it is, and then with damaged ones.
    ///
    /// - Parameters:
    ///   - name: the reader's, which the file of the input at work bears.
    ///   - tokens: pieces that mean something to the reader, put in at random beside general ones.
    ///   - body: throws when the reader answers what it should not; a refusal it catches itself.
    /// - Throws: ``Failure`` with the seed and the input, for the first that `body` threw at.
    public static func run(
        _ name: String, samples: [[UInt8]], tokens: [String] = [], _ body: ([UInt8]) async throws -> Void
    ) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "naura-fuzz-\(name)").path
        let descriptor = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(description: "cannot write \(path)") }
        defer {
            close(descriptor)
            unlink(path)
        }
        var random = SplitMix64(seed: seed)
        let damage = Damage(tokens: tokens)
        for round in 0..<(samples.count + rounds) {
            let sample = samples[round % samples.count]
            let input = round < samples.count ? sample : damage.done(to: sample, &random)
            guard ftruncate(descriptor, off_t(input.count)) == 0,
                pwrite(descriptor, input, input.count, 0) == input.count
            else { throw Failure(description: "cannot write \(path)") }
            do {
                try await body(input)
            } catch {
                throw Failure(
                    description: """
                        \(name), NAURA_FUZZ_SEED=\(seed), round \(round): \(error)
                        \(String(decoding: input.prefix(2_000), as: UTF8.self).debugDescription)
                        """)
            }
        }
    }

    /// Fails the reader at work with `message` where `isTrue` is not.
    public static func require(_ isTrue: Bool, _ message: @autoclosure () -> String) throws(Failure) {
        if !isTrue { throw Failure(description: message()) }
    }

    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap(UInt64.init)
    }
}

/// Changes bytes as accidents and ill will do.
public struct Damage: Sendable {
    private let tokens: [[UInt8]]

    public init(tokens: [String]) {
        let general = [
            "\"", "\\", "'", "null", "true", "-", "1e999", "9223372036854775808", "-0", "é", "\u{0}", "\u{FEFF}", "\n",
            "\r\n", " ", ",", ":", "{", "}", "[[[[[[[[", "]",
        ]
        self.tokens = (general + tokens).map { Array($0.utf8) }
    }

    /// A copy of `sample` with one to five changes.
    public func done(to sample: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var bytes = sample
        for _ in 0...random.next() % 5 where !bytes.isEmpty {
            let place = Int(random.next() % UInt64(bytes.count))
            switch random.next() % 6 {
            case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int(random.next() % 12)))
            case 2: bytes.insert(contentsOf: tokens[Int(random.next() % UInt64(tokens.count))], at: place)
            case 3: bytes.removeSubrange(place...)
            case 4:
                let token = tokens[Int(random.next() % UInt64(tokens.count))]
                bytes.replaceSubrange(place..<min(bytes.count, place + token.count), with: token)
            default:
                let end = min(bytes.count, place + Int(random.next() % 40))
                bytes.insert(contentsOf: Array(bytes[place..<end]), at: place)
            }
        }
        return bytes
    }
}
