import NauraRules

/// Reads a model's `code`, `retrain`, `promote` and `monitor`.
enum PolicyReader {
    static func code(_ mapping: YAMLMapping) -> CodeScope {
        let repository = mapping.text("repository", isRequired: true, expected: "a repository such as acme/churn") ?? ""
        let scope = CodeScope(repository: repository, ref: mapping.text("ref"), paths: mapping.texts("paths") ?? [])
        mapping.refuseOthers()
        return scope
    }

    static func retrain(_ mapping: YAMLMapping) -> RetrainPolicy {
        var policy = RetrainPolicy()
        if let words = mapping.texts("on") {
            let kinds = TriggerKind.allCases.map(\.rawValue)
            policy.on = Set(
                words.compactMap { word in
                    mapping.value("on")?.reference(word, to: "kind of event", among: kinds)
                        .flatMap { TriggerKind(rawValue: $0) }
                })
        }
        policy.timeZone = mapping.text("time-zone") ?? policy.timeZone
        policy.cron = mapping.text("cron")
        policy.quietPeriodSeconds = mapping.seconds("quiet-period") ?? policy.quietPeriodSeconds
        policy.cooldownSeconds = mapping.seconds("cooldown") ?? policy.cooldownSeconds
        policy.atMostPerWeek = atMost(mapping)
        do throws(RulesError) {
            _ = try CronSchedule(policy.cron ?? "0 0 * * *", timeZone: policy.timeZone)
        } catch {
            let isZone = policy.cron == nil || error.message.contains("time zone")
            mapping.fault(
                isZone ? "time-zone" : "cron", found: "'\(isZone ? policy.timeZone : policy.cron ?? "")': \(error)",
                expected: isZone ? "an IANA time zone such as Europe/Berlin" : "five cron fields such as 0 3 * * 1")
        }
        mapping.refuseOthers()
        return policy
    }

    /// `20/week`.
    private static func atMost(_ mapping: YAMLMapping) -> Int? {
        let expected = "a number of trainings a week such as 20/week"
        guard let text = mapping.text("at-most", expected: expected) else { return nil }
        if text.hasSuffix("/week"), let count = Int(text.dropLast(5)), count > 0 { return count }
        mapping.fault("at-most", found: "'\(text)'", expected: expected)
        return nil
    }

    static func promote(_ mapping: YAMLMapping, slices names: [String]) -> PromotionPolicy {
        var policy = PromotionPolicy()
        let metrics = Dictionary(uniqueKeysWithValues: PromotionMetric.allCases.map { ($0.rawValue, $0) })
        policy.metric = mapping.word("metric", among: metrics) ?? policy.metric
        policy.margin = mapping.share("margin", 0...1_000) ?? policy.margin
        policy.atLeast = mapping.share("at-least", 0...1_000)
        policy.slices = mapping.texts("slices") ?? []
        for slice in policy.slices where !names.isEmpty {
            _ = mapping.value("slices")?.reference(slice, to: "feature or column", among: names)
        }
        policy.sliceMargin = mapping.share("slice-margin", 0...1_000)
        policy.superior = mapping.flag("superior") ?? policy.superior
        policy.entitiesMin = mapping.integer("entities-min", 2...1_000_000_000) ?? policy.entitiesMin
        policy.bootstrapSeed = mapping.integer("bootstrap-seed", 0...Int.max) ?? policy.bootstrapSeed
        if let approval = mapping.text("approval"), approval != "none" {
            mapping.fault("approval", found: "'\(approval)', which is not supported yet", expected: "none")
        }
        mapping.refuseOthers()
        return policy
    }

    static func monitor(_ mapping: YAMLMapping) -> MonitorPolicy {
        var policy = MonitorPolicy()
        let methods = Dictionary(uniqueKeysWithValues: DriftMethod.allCases.map { ($0.rawValue, $0) })
        policy.windowSeconds = mapping.seconds("window") ?? policy.windowSeconds
        if policy.windowSeconds <= 0 { mapping.fault("window", found: "0s", expected: "a duration above 0") }
        policy.method = mapping.word("method", among: methods) ?? policy.method
        policy.shareOfColumns = mapping.share("share-of-columns") ?? policy.shareOfColumns
        policy.psiThreshold = mapping.number("psi-threshold", 0...1_000) ?? policy.psiThreshold
        policy.significance = mapping.share("significance", 1e-12...0.5) ?? policy.significance
        policy.rowsMin = mapping.integer("rows-min", 1...1_000_000_000) ?? policy.rowsMin
        policy.latenessSeconds = mapping.seconds("lateness") ?? policy.latenessSeconds
        policy.fireAfterWindows = mapping.integer("fire-after", 1...1_000) ?? policy.fireAfterWindows
        policy.resolveAfterWindows = mapping.integer("resolve-after", 1...1_000) ?? policy.resolveAfterWindows
        mapping.refuseOthers()
        return policy
    }
}

/// Reads a model's `rollout`.
enum RolloutReader {
    static func read(_ mapping: YAMLMapping) -> RolloutPolicy {
        var policy = RolloutPolicy()
        policy.steps = steps(mapping) ?? policy.steps
        policy.bakeSeconds = mapping.secondsList("bake") ?? policy.bakeSeconds
        policy.unit = mapping.text("unit")
        policy.errorMargin = mapping.share("error-margin", 0.0001...1) ?? policy.errorMargin
        policy.slowMargin = mapping.share("slow-margin", 0.0001...1) ?? policy.slowMargin
        policy.errorRatio = mapping.number("error-ratio", 1...1_000) ?? policy.errorRatio
        policy.slowRatio = mapping.number("slow-ratio", 1...1_000) ?? policy.slowRatio
        policy.slowSeconds = mapping.seconds("slow") ?? policy.slowSeconds
        policy.harmAlpha = mapping.share("harm-alpha", 1e-9...0.5) ?? policy.harmAlpha
        policy.advanceBeta = mapping.share("advance-beta", 1e-9...0.5) ?? policy.advanceBeta
        policy.minUnits = mapping.integer("min-units", 0...1_000_000_000)
        policy.warmUpUnits = mapping.integer("warm-up-units", 0...1_000_000_000) ?? policy.warmUpUnits
        policy.warmUpSeconds = mapping.seconds("warm-up") ?? policy.warmUpSeconds
        policy.maxStepSeconds = mapping.seconds("max-step") ?? policy.maxStepSeconds
        policy.holdSeconds = mapping.seconds("hold") ?? policy.holdSeconds
        policy.telemetryIntervalSeconds = mapping.seconds("telemetry-interval") ?? policy.telemetryIntervalSeconds
        policy.telemetryLostSeconds = mapping.seconds("telemetry-lost") ?? policy.telemetryLostSeconds
        policy.errorWeight = mapping.share("error-weight") ?? policy.errorWeight
        policy.slowWeight = mapping.share("slow-weight") ?? policy.slowWeight
        mapping.refuseOthers()
        return policy
    }

    private static func steps(_ mapping: YAMLMapping) -> [Double]? {
        let expected = "rising shares that end with 100%, such as [5%, 25%, 50%, 100%]"
        guard let texts = mapping.texts("steps") else { return nil }
        let shares = texts.compactMap { ScalarText.share($0) }
        let isRising = zip(shares, shares.dropFirst()).allSatisfy { $0 < $1 }
        guard shares.count == texts.count, isRising, let first = shares.first, first > 0, shares.last == 1 else {
            mapping.fault("steps", found: "[\(texts.joined(separator: ", "))]", expected: expected)
            return nil
        }
        return shares
    }
}
