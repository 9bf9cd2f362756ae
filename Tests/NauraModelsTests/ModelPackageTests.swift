@testable import NauraModels
import NauraRules
import Testing

@Suite struct ModelPackageTests {
    @Test("packing the same training twice gives the same digest")
    func isDeterministic() async throws {
        let first = try await Sample.package()
        let second = try await Sample.package()
        #expect(first.digest == second.digest)
        #expect(first.digest.count == 64)
        #expect(first.files.map(\.path) == ModelPackage.paths)
    }

    @Test("a package that was stored opens again and scores as it did, by row and by name")
    func opens() async throws {
        let package = try await Sample.package()
        let model = try ServedModel.load(digest: package.digest) { package.bytes(of: $0) }
        let row = Sample(rows: 5, seed: 4).rows[3]
        let named = Dictionary(uniqueKeysWithValues: zip(Sample.inputs.map(\.name), row))
        #expect(try model.score(row) == model.score(named: named))
        #expect((0...1).contains(try model.score(row)))
        #expect(model.signature.inputs == Sample.inputs)
        #expect(model.reference.columns.map(\.name) == Sample.inputs.map(\.name))
    }

    @Test("one changed byte anywhere is refused before it is parsed")
    func refusesChangedBytes() async throws {
        let package = try await Sample.package(rows: 200, rounds: 3)
        for path in ModelPackage.paths {
            let fault = #expect(throws: ModelFault.self) {
                try ServedModel.load(digest: package.digest) { asked in
                    var bytes = package.bytes(of: asked)
                    if asked == path { bytes[bytes.count / 2] ^= 1 }
                    return bytes
                }
            }
            #expect(fault?.code == .digestMismatch)
        }
    }

    @Test("a package whose trees answer its samples otherwise is refused, though its digest is right")
    func replaysSamples() async throws {
        let package = try await Sample.package(rows: 200, rounds: 3)
        let changed = replacing(
            #""base_score":"5E-1""#, by: #""base_score":"4E-1""#, in: package.bytes(of: "model.json"))
        let files = package.files.map { ($0.path, $0.path == "model.json" ? changed : $0.bytes) }
        let hashes = files.map { (path: $0.0, sha256: ModelPackage.sha256($0.1)) }
        let fault = #expect(throws: ModelFault.self) {
            try ServedModel.load(digest: ModelPackage.digest(of: hashes)) { path in
                files.first { $0.0 == path }?.1 ?? []
            }
        }
        #expect(fault?.code == .samplesDiffer)
    }

    @Test("a missing, an unknown and a wrongly typed column are named; null is a missing value")
    func namesColumns() async throws {
        let package = try await Sample.package(rows: 200, rounds: 3)
        let model = try package.served()
        let good: [String: CellValue] = [
            "tenure": 3, "contract": "One year", "charge": nil, "payment": "method 1", "senior": 0,
        ]
        func fault(_ change: (inout [String: CellValue]) -> Void) -> ModelFault? {
            var row = good
            change(&row)
            return #expect(throws: ModelFault.self) { try model.score(named: row) }
        }
        #expect(fault { $0["tenure"] = nil }?.column == "tenure")
        #expect(fault { $0["tenure"] = nil }?.code == .missingColumn)
        #expect(fault { $0["extra"] = 1 }?.column == "extra")
        #expect(fault { $0["extra"] = 1 }?.code == .unknownColumn)
        #expect(fault { $0["contract"] = .some(.number(1)) }?.code == .wrongType)
        #expect(fault { $0["senior"] = .some(.text("no")) }?.column == "senior")
        var more = good
        more["extra"] = .some(.number(1))
        #expect(try model.score(named: more, extra: .ignore) == model.score(named: good))
    }

    @Test("trees that answer no number are found out where samples reach them, and are a typed error elsewhere")
    func refusesNaN() async throws {
        let package = try await Sample.package(rows: 400, rounds: 3)
        let json = package.bytes(of: "model.json")
        let column = try #require(package.served().encoder.encodedNames.firstIndex(of: "charge"))
        let broken = try TreeGraft.appending(to: json, column: column, condition: 1e20, low: 0, high: .nan)
        let model = try package.replacingModel(broken).served()
        #expect(model.digest != package.digest)
        let usual: [CellValue] = [3, "One year", 30, "method 1", 0]
        #expect(try model.score(usual) == package.served().score(usual))
        let fault = #expect(throws: ModelFault.self) { try model.score([3, "One year", 1e25, "method 1", 0]) }
        #expect(fault?.code == .notANumber)
        let open = try TreeGraft.appending(to: json, column: column, condition: 5, low: 0, high: .nan)
        #expect(throws: ModelFault.self) { try package.replacingModel(open) }
    }

    @Test("MLmodel names no run, no time and no host")
    func hasNoTraceOfItsMaking() async throws {
        let text = String(decoding: try await Sample.package(rows: 100, rounds: 1).bytes(of: "MLmodel"), as: UTF8.self)
        for word in ["run_id", "model_uuid", "utc_time_created", "model_size"] { #expect(!text.contains(word)) }
        #expect(text.contains(#"{"name":"tenure","required":true,"type":"double"}"#))
    }
}

@Suite struct ReferenceTests {
    private func fit(_ values: [CellValue], type: FeatureType, limit: Int = 64) -> Reference.Column {
        var fit = ReferenceFit([ModelInput(name: "c", type: type)], categoriesMax: limit)
        for value in values { fit.add([value]) }
        return fit.reference(scores: []).columns[0]
    }

    @Test("many distinct numbers are cut at the tenths, and every value falls into one bin")
    func cutsAtTenths() {
        let column = fit((0..<1_000).map { .number(Double($0)) } + [.null], type: .number)
        #expect(column.counts == .init(repeating: 100, count: 10) + [1])
        #expect(column.bin(of: -5) == 0)
        #expect(column.bin(of: 100) == 1)
        #expect(column.bin(of: 99.5) == 0)
        #expect(column.bin(of: 1e9) == 9)
        #expect(column.bin(of: .null) == 10)
        #expect(column.bin(of: .number(.nan)) == 10)
        #expect(column.labels.count == column.binCount)
    }

    @Test("few distinct numbers get a bin each, and another for what training did not see")
    func binsValues() {
        let column = fit([0, 1, 1, .null, 0, 1], type: .number)
        #expect(column.bins == .values([0, 1]))
        #expect(column.counts == [2, 3, 0, 1])
        #expect(column.bin(of: 0.5) == 2)
    }

    @Test("texts get a bin each up to the limit, then other, then missing")
    func binsTexts() {
        let column = fit(["b", "a", "b", "c", .null], type: .text, limit: 2)
        #expect(column.bins == .categories(["a", "b"]))
        #expect(column.counts == [1, 2, 1, 1])
        #expect(column.bin(of: "zzz") == 2)
        #expect(column.bin(of: "b") == 1)
        #expect(column.labels == ["a", "b", "other", "missing"])
    }

    @Test("a heavy tie leaves fewer bins and none empty")
    func mergesTies() {
        let column = fit((0..<900).map { _ in 0 } + (1...100).map { .number(Double($0)) }, type: .number)
        #expect(!column.counts.dropLast().contains(0))
        #expect(column.counts.reduce(0, +) == 1_000)
    }

    @Test("reference.json reads back as it was")
    func roundTrips() throws {
        var fit = ReferenceFit(Sample.inputs, categoriesMax: 3)
        for row in Sample(rows: 500).rows { fit.add(row) }
        let reference = fit.reference(scores: (0..<100).map { Double($0) / 100 })
        #expect(try Reference(parsing: reference.canonicalBytes) == reference)
    }
}
