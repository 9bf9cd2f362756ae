import Foundation
import NauraRules
import Testing

@Suite("The project file's values")
struct DefinitionTests {
    @Test("a project passes through JSON unchanged, and equal projects have equal bytes")
    func codable() throws {
        let expression = try FeatureExpression.parse("totalcharges / nullif(tenure, 0)")
        let rule = ColumnRule(name: "churn", type: .text, nullable: false, values: ["Yes", "No"])
        let project = ProjectDefinition(
            name: "churn",
            datasets: [
                "customers": DatasetDefinition(
                    name: "customers", key: "customerid", timestamp: .column("at"), created: .arrival,
                    contract: Contract(columns: [rule], rowsMin: 10))
            ],
            featureViews: [
                "profile": FeatureViewDefinition(
                    name: "profile", entity: "customer", joinKey: "customerid", dataset: "customers", ttlSeconds: 60,
                    features: [FeatureDefinition(name: "spend", expression: expression, type: .number)])
            ],
            models: [
                "churn": ModelDefinition(
                    name: "churn", label: LabelDefinition(dataset: "customers", column: "churn", positive: "Yes"),
                    features: ["profile"], code: CodeScope(repository: "acme/churn"), notify: ["on-call"])
            ],
            notify: ["on-call": .webhook(url: "http://127.0.0.1:1/"), "log": .log])
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let bytes = try encoder.encode(project)
        let again = try JSONDecoder().decode(ProjectDefinition.self, from: bytes)
        #expect(again == project)
        #expect(try encoder.encode(again) == bytes)
    }

    @Test("a policy stored by an older program takes the defaults of what it did not know, and every key is written")
    func olderPolicies() throws {
        func passes<T: Codable & Equatable>(_ changed: T, _ defaults: T) throws {
            #expect(changed != defaults)
            #expect(try JSONDecoder().decode(T.self, from: Data("{}".utf8)) == defaults)
            #expect(try JSONDecoder().decode(T.self, from: JSONEncoder().encode(changed)) == changed)
        }
        try passes(
            RolloutPolicy(
                steps: [0.1, 1], bakeSeconds: [1], unit: "u", errorMargin: 0.1, slowMargin: 0.2, errorRatio: 3,
                slowRatio: 4, slowSeconds: 5, harmAlpha: 0.02, advanceBeta: 0.1, minUnits: 6, warmUpUnits: 7,
                warmUpSeconds: 8, maxStepSeconds: 9, holdSeconds: 10, telemetryIntervalSeconds: 11,
                telemetryLostSeconds: 12, errorWeight: 0.5, slowWeight: 0.4), RolloutPolicy())
        try passes(
            MonitorPolicy(
                windowSeconds: 1, method: .psi, shareOfColumns: 0.2, psiThreshold: 0.3, significance: 0.4, rowsMin: 5,
                latenessSeconds: 6, fireAfterWindows: 7, resolveAfterWindows: 8), MonitorPolicy())
        try passes(
            PromotionPolicy(
                metric: .accuracy, margin: 0.1, atLeast: 0.2, slices: ["a"], sliceMargin: 0.3, superior: true,
                entitiesMin: 4, bootstrapSeed: 5), PromotionPolicy())
        try passes(
            XGBoostParameters(
                rounds: 1, maxDepth: 2, learningRate: 0.3, seed: 4, subsample: 0.5, colsampleByTree: 0.6,
                minChildWeight: 7, gamma: 8, lambda: 9, alpha: 10, maxBins: 11, earlyStoppingRounds: 12,
                validationShare: 0.13, categoriesMax: 14), XGBoostParameters())
        try passes(
            RetrainPolicy(
                on: [.newData], cron: "0 3 * * *", timeZone: "Europe/Berlin", quietPeriodSeconds: 1,
                cooldownSeconds: 2, atMostPerWeek: 3), RetrainPolicy())
    }

    @Test("the rollout's defaults are the stated ones")
    func rolloutDefaults() {
        let policy = RolloutPolicy()
        #expect(policy.steps == [0.05, 0.25, 0.5, 1])
        #expect(policy.unitsMin == 738)
        #expect((0...3).map(policy.bake(at:)) == [600, 300, 300, 300])
        #expect(!policy.isImmediate)
        #expect(RolloutPolicy(steps: [1]).isImmediate)
    }

    @Test(
        "a merge concerns a model when repository, ref and one path fit",
        arguments: [
            ("churn/**", "churn/train.py", true), ("churn/**", "churn/a/b.py", true), ("churn/**", "other/a.py", false),
            ("churn/*", "churn/a/b.py", false), ("churn/*.py", "churn/a.py", true), ("**/train.py", "train.py", true),
            ("**/train.py", "a/b/train.py", true), ("**/train.py", "a/retrain.py", false), ("a/?.c", "a/b.c", true),
            ("a/?.c", "a/bc.c", false), ("**", "any/thing", true), ("a/**/z", "a/z", true), ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "ab/z", false), ("*.md", "docs/a.md", false),
        ])
    func codeScope(pattern: String, path: String, expected: Bool) {
        let scope = CodeScope(repository: "acme/churn", ref: "refs/heads/main", paths: [pattern])
        #expect(scope.concerns(repository: "acme/churn", ref: "refs/heads/main", changed: [path]) == expected)
        #expect(!scope.concerns(repository: "acme/other", ref: "refs/heads/main", changed: [path]))
        #expect(!scope.concerns(repository: "acme/churn", ref: "refs/heads/next", changed: [path]))
        #expect(scope.concerns(repository: "acme/churn", ref: "refs/heads/main", changed: []))
    }
}
