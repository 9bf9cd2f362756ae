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
