import NauraModels
import NauraRules
import Testing

@Suite struct TrainingTests {
    @Test("training the same set twice gives the same bytes, with one thread and with two")
    func isDeterministic() async throws {
        let sample = Sample(rows: 1_500)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let first = try await XGBoostTrainer(rounds: 15, parameters: Sample.parameters).train(sample.matrix(encoder))
        let again = try await XGBoostTrainer(rounds: 15, parameters: Sample.parameters).train(sample.matrix(encoder))
        let wide = try await XGBoostTrainer(rounds: 15, parameters: Sample.parameters, threads: 2)
            .train(sample.matrix(encoder))
        #expect(first == again)
        #expect(first == wide)
    }

    @Test("measuring rounds tells how the validation part does, and changes no byte of the model")
    func measures() async throws {
        let sample = Sample(rows: 600)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let trainer = XGBoostTrainer(rounds: 10, parameters: Sample.parameters)
        let (stream, continuation) = AsyncStream.makeStream(of: XGBoostTrainer.Round.self)
        let measured = try await trainer.train(
            sample.matrix(encoder), validation: Sample(rows: 200, seed: 2).matrix(encoder), measuring: .every(3)
        ) { continuation.yield($0) }
        continuation.finish()
        var rounds: [XGBoostTrainer.Round] = []
        for await round in stream { rounds.append(round) }
        #expect(rounds.map(\.number) == [3, 6, 9, 10])
        #expect(
            rounds.last?.metrics.map(\.name) == ["validation-logloss", "validation-auc"])
        #expect((rounds.last?.metrics.first?.value ?? 9) < (rounds.first?.metrics.first?.value ?? 0))
        let plain = try await trainer.train(sample.matrix(encoder))
        #expect(measured == plain)
    }

    @Test("rows of one class, or none, are refused with the reason")
    func refusesOneClass() async throws {
        let encoder = try FeatureEncoder.fit([ModelInput(name: "a", type: .number)], rows: [[1]])
        var matrix = TrainingMatrix(width: 1)
        let trainer = XGBoostTrainer(rounds: 1, parameters: [])
        await #expect(throws: ModelFault(.untrainable, "there are no rows to train on")) {
            try await trainer.train(matrix)
        }
        matrix.append([1], isPositive: true, encoder: encoder)
        let one = matrix
        await #expect(throws: ModelFault(.untrainable, "all 1 training rows have the positive label")) {
            try await trainer.train(one)
        }
    }

    @Test("a parameter that the library does not take is refused in the library's words")
    func refusesParameters() async throws {
        let sample = Sample(rows: 50)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let matrix = sample.matrix(encoder)
        let trainer = XGBoostTrainer(rounds: 1, parameters: [("max_depth", "deep")])
        let fault = await #expect(throws: ModelFault.self) { try await trainer.train(matrix) }
        #expect(fault?.code == .library)
        #expect(fault?.message.contains("max_depth") == true)
    }

    @Test("a cancelled training ends between two rounds")
    func cancels() async throws {
        let sample = Sample(rows: 500)
        let encoder = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let matrix = sample.matrix(encoder)
        let (rounds, continuation) = AsyncStream.makeStream(of: Int.self)
        let training = Task {
            try await XGBoostTrainer(rounds: 1_000_000, parameters: []).train(matrix, measuring: .every(1)) {
                continuation.yield($0.number)
            }
        }
        for await _ in rounds.prefix(1) { training.cancel() }
        await #expect(throws: CancellationError.self) { try await training.value }
    }
}

@Suite struct FeatureEncoderTests {
    @Test("the order of the rows changes neither columns nor categories")
    func ignoresOrder() throws {
        let sample = Sample(rows: 300)
        let forward = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows)
        let backward = try FeatureEncoder.fit(Sample.inputs, rows: sample.rows.reversed())
        #expect(forward == backward)
        #expect(forward.encodedNames.prefix(3) == ["tenure", "contract=Month-to-month", "contract=One year"])
    }

    @Test("null numbers become NaN, null and unknown texts become zeros, and what float32 cannot hold is missing")
    func encodes() throws {
        let encoder = try FeatureEncoder.fit(
            [ModelInput(name: "n", type: .number), ModelInput(name: "t", type: .text)],
            rows: [[1, "b"], [2, "a"]])
        func encode(_ row: [CellValue]) -> [Float] {
            var matrix = TrainingMatrix(width: encoder.width)
            matrix.append(row, isPositive: false, encoder: encoder)
            return matrix.values
        }
        #expect(encode([0.1, "b"]) == [0.1, 0, 1])
        #expect(encode([.null, .null])[0].isNaN)
        #expect(encode([1, "c"]) == [1, 0, 0])
        #expect(encode([1, .null]) == [1, 0, 0])
        #expect(encode([.number(1e300), "a"])[0].isNaN)
    }

    @Test("beyond the limit the most frequent categories stay, equal counts by byte order")
    func capsCategories() throws {
        let rows: [[CellValue]] = ["d", "d", "c", "b", "a", "c", "e"].map { [.text($0)] }
        let encoder = try FeatureEncoder.fit([ModelInput(name: "t", type: .text)], rows: rows, categoriesMax: 3)
        #expect(encoder.columns[0].categories == ["a", "c", "d"])
    }

    @Test("a composed and a decomposed é are two categories")
    func comparesBytes() throws {
        let rows: [[CellValue]] = [["\u{E9}"], ["e\u{301}"]]
        let encoder = try FeatureEncoder.fit([ModelInput(name: "t", type: .text)], rows: rows)
        #expect(encoder.width == 2)
    }
}
