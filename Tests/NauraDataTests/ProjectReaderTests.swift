import Foundation
import NauraData
import NauraRules
import Testing

@Suite struct ProjectReaderTests {
    private let contract = """
        columns:
          id: { type: text, nullable: false }
          at: { type: timestamp }
          charges: { type: number }
          months: { type: integer }
          plan: { type: text }
          churn: { type: text, values: ["Yes", "No"] }
        """

    private func read(_ yaml: String, contract: String? = nil) async throws -> ProjectReader.ReadProject {
        try await withFolder { folder in
            _ = try write(contract ?? self.contract, "customers.yaml", in: folder)
            return try ProjectReader.read(yaml: yaml, directory: folder)
        }
    }

    private func faults(_ yaml: String, contract: String? = nil) async throws -> [ProjectFault] {
        do {
            _ = try await read(yaml, contract: contract)
            return []
        } catch let faults as ProjectFaults {
            return faults.faults
        }
    }

    private let whole = """
        project: churn
        datasets:
          customers: { key: id, timestamp: at, created: arrival, contract: customers.yaml }
        feature-views:
          profile:
            entity: customer
            dataset: customers
            ttl: 400d
            features:
              spend: charges / nullif(months, 0)
              plan: plan
        notify:
          on-call: { kind: webhook, url: "http://127.0.0.1:9/hook" }
          team: log
        models:
          churn:
            label: { dataset: customers, column: churn, positive: Yes }
            features: [profile]
            holdout: 25%
            trainer: { kind: xgboost, rounds: 50, max-depth: 3, learning-rate: 0.2, seed: 9 }
            code: { repository: acme/churn, ref: refs/heads/main, paths: [churn/**] }
            retrain: { on: [new-data], cron: "0 3 * * 1", time-zone: Europe/Berlin, quiet-period: 2s,
                       cooldown: 1h, at-most: 20/week }
            promote: { metric: roc-auc, margin: 0.02, at-least: 0.7, slices: [plan], approval: none }
            rollout: { steps: [5%, 100%], bake: [10m, 5m], unit: id, error-margin: 1%, slow: 250ms }
            monitor: { window: 1h, method: auto, share-of-columns: 30% }
            notify: [on-call]
        """

    @Test("a whole project is read with every value")
    func wholeProject() async throws {
        let read = try await read(whole)
        let project = read.definition
        let dataset = try #require(project.datasets["customers"])
        #expect(dataset.timestamp == .column("at"))
        #expect(dataset.created == .arrival)
        #expect(dataset.contract.columns.count == 6)
        let view = try #require(project.featureViews["profile"])
        #expect(view.joinKey == "id")
        #expect(view.ttlSeconds == 34_560_000)
        #expect(view.features.map(\.name) == ["spend", "plan"])
        #expect(view.features.map(\.type) == [.number, .text])
        let model = try #require(project.models["churn"])
        #expect(model.label == LabelDefinition(dataset: "customers", column: "churn", positive: "Yes"))
        #expect(model.holdoutShare == 0.25)
        #expect(model.trainer.seed == 9)
        #expect(model.retrain.quietPeriodSeconds == 2)
        #expect(model.retrain.cooldownSeconds == 3_600)
        #expect(model.retrain.atMostPerWeek == 20)
        #expect(model.rollout.steps == [0.05, 1])
        #expect(model.rollout.bakeSeconds == [600, 300])
        #expect(model.rollout.errorMargin == 0.01)
        #expect(model.rollout.slowSeconds == 0.25)
        #expect(model.monitor.shareOfColumns == 0.3)
        #expect(project.notify["on-call"] == .webhook(url: "http://127.0.0.1:9/hook"))
        #expect(project.notify["team"] == .log)
    }

    @Test("layout, comments and the order of keys do not change a project's SHA-256; a value does")
    func digest() async throws {
        let first = try await read(whole)
        let second = try await read(
            "# a comment\n" + whole.replacingOccurrences(of: "key: id, timestamp: at", with: "timestamp: at, key:   id")
        )
        let third = try await read(whole.replacingOccurrences(of: "400d", with: "401d"))
        #expect(first.sha256 == second.sha256)
        #expect(first.sha256 != third.sha256)
    }

    @Test("all faults are reported at once, each with its line and what was expected")
    func allFaults() async throws {
        let found = try await faults(
            """
            project: churn
            datasets:
              customers: { key: idd, timestamp: plan, contract: customers.yaml, tiimestamp: at }
              other: { key: id, contract: nowhere.yaml }
            feature-views:
              profile:
                entity: customer
                dataset: customer
                ttl: 400 days
                features:
                  spend: charges / (months
                  plan: plan
                  plan: plan
            models:
              churn:
                label: { dataset: customers, column: chrun, positive: Maybe }
                features: [profil]
                holdout: 120%
                trainer: { kind: xgboost, max-dept: 4, rounds: many }
                retrain: { on: [new-dat], cron: "0 3 * *", time-zone: Mars/Base, quiet-period: 2, at-most: 20 }
                promote: { metric: auc, approval: two }
                rollout: { steps: [25%, 5%] }
                notify: [on-call]
            """)
        let lines = found.map { "\($0.line) \($0.key)" }
        let expected = [
            "3 datasets.customers.tiimestamp", "3 datasets.customers.key", "3 datasets.customers.timestamp",
            "4 datasets.other.contract", "8 feature-views.profile.dataset", "9 feature-views.profile.ttl",
            "11 feature-views.profile.features.spend", "13 feature-views.profile.features.plan",
            "16 models.churn.label.column", "17 models.churn.features[0]", "18 models.churn.holdout",
            "19 models.churn.trainer.rounds", "19 models.churn.trainer.max-dept", "20 models.churn.retrain.on",
            "20 models.churn.retrain.at-most", "20 models.churn.retrain.quiet-period",
            "20 models.churn.retrain.time-zone", "21 models.churn.promote.metric", "21 models.churn.promote.approval",
            "22 models.churn.rollout.steps", "23 models.churn.notify[0]",
        ]
        #expect(Set(lines) == Set(expected))
        #expect(found.map(\.line) == found.map(\.line).sorted())
        let texts = found.map(\.description).joined(separator: "\n")
        #expect(texts.contains("did you mean 'timestamp'?"))
        #expect(texts.contains("did you mean 'customers'?"))
        #expect(texts.contains("did you mean 'churn'?"))
        #expect(texts.contains("did you mean 'max-depth'?"))
        #expect(texts.contains("did you mean 'new-data'?"))
        #expect(texts.contains("naura.yaml:13:"))
    }

    @Test("YAML that cannot be read names its line, and so does a repeated key at any depth")
    func syntax() async throws {
        let broken = try await faults("project: x\ndatasets: [\n  a: {")
        #expect(broken.count == 1)
        #expect(broken[0].line >= 2)
        let repeated = try await faults(whole + "\nproject: again\nmodels: {}\nproject: third")
        #expect(repeated.map(\.key) == ["models", "project", "project"])
        #expect(try await faults("").first?.found == "an empty file")
        #expect(try await faults("- a\n- b").first?.expected == "keys and values")
    }

    @Test("faults of a contract bear the contract's name and line")
    func contractFaults() async throws {
        let found = try await faults(
            whole,
            contract: """
                columns:
                  id: { type: string }
                  at: { type: timestamp, max-nulls: 150%, min: x }
                extra-columns: maybe
                """)
        #expect(found.map(\.file).allSatisfy { $0 == "customers.yaml" })
        #expect(found.map(\.line) == [2, 3, 3, 4])
    }

    @Test("a feature that reads its own model's label is refused")
    func leakage() async throws {
        let found = try await faults(whole.replacingOccurrences(of: "plan: plan", with: "plan: upper(churn)"))
        #expect(found.map(\.key) == ["models.churn.features[0]"])
    }

    @Test("a contract that is written reads back equal")
    func contractRoundTrip() throws {
        let contract = Contract(
            columns: [
                ColumnRule(name: "yes", type: .text, nullable: false, values: ["a \"b\"", "c,\n d"], unique: true),
                ColumnRule(
                    name: "a: b #c", type: .number, required: false, maxNullShare: 0.125, minimum: -1.5, maximum: 2),
                ColumnRule(name: "Größe 'x'", type: .timestamp),
            ], allowExtraColumns: false, rowsMin: 7)
        let text = ContractFile.write(contract, dataset: "d", remarks: ["yes": "seen: a"])
        #expect(try ContractFile.read(yaml: text, file: "c.yaml") == contract)
    }
}
