// swift-tools-version: 6.3
import PackageDescription

// Arrows between our rooms are the ones of ARCHITECTURE.md; Tests/ArchitectureTests reads every file's imports and
// fails on one that is not there.

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
// Rooms whose inner loops the tests run millions of times are optimised in debug builds too: the canary simulations
// take seconds instead of minutes.
let optimised: [SwiftSetting] = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]
// `make race` builds for ThreadSanitizer: it reports lines, so debug information stays, and it wants glibc's allocator.
let isSanitized = Context.environment["NAURA_SANITIZE"] != nil
// lld and stripped debug information halve the time of relinking eleven executables. jemalloc takes glibc's place: a batch
// frees some thirty thousand small pieces at once, which cost a worker a fifth of its time there.
let linking: [LinkerSetting] =
    isSanitized
    ? [.unsafeFlags(["-use-ld=lld"], .when(platforms: [.linux]))]
    : [
        .unsafeFlags(["-use-ld=lld", "-Xlinker", "--strip-debug"], .when(platforms: [.linux])),
        .linkedLibrary("jemalloc", .when(platforms: [.linux])),
    ]

func product(_ name: String, _ package: String) -> Target.Dependency { .product(name: name, package: package) }

let log = product("Logging", "swift-log")
let crypto = product("Crypto", "swift-crypto")
let hummingbird = product("Hummingbird", "hummingbird")
let asyncHTTPClient = product("AsyncHTTPClient", "async-http-client")
let nioCore = product("NIOCore", "swift-nio")
let nioPosix = product("NIOPosix", "swift-nio")
let nioHTTP1 = product("NIOHTTP1", "swift-nio")
let httpTypes = product("HTTPTypes", "swift-http-types")
let lifecycle = product("ServiceLifecycle", "swift-service-lifecycle")
let unixSignals = product("UnixSignals", "swift-service-lifecycle")
let configuration = product("Configuration", "swift-configuration")

let workerRooms: [Target.Dependency] = [
    "NauraStage", "NauraStore", "NauraLedger", "NauraRules", "NauraEvents", "NauraData", configuration, log,
]

func worker(_ name: String, _ more: [Target.Dependency] = []) -> Target {
    .executableTarget(
        name: name, dependencies: workerRooms + more, path: "workers/\(name)", swiftSettings: strict,
        linkerSettings: linking)
}

func room(
    _ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict, exclude: [String] = [],
    plugins: [Target.PluginUsage] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, exclude: exclude, swiftSettings: settings, plugins: plugins)
}

let package = Package(
    name: "naura",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // C libraries: a module map and one header each.
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
        .systemLibrary(
            name: "CRDKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"]), .brew(["librdkafka"])]),
        .systemLibrary(
            name: "CXGBoost", pkgConfig: "xgboost", providers: [.apt(["libxgboost-dev"]), .brew(["xgboost"])]),

        // Text files as Swift string literals.
        .executableTarget(name: "embed-files", path: "Plugins/embed-files-tool", swiftSettings: strict),
        .plugin(name: "EmbedFiles", capability: .buildTool(), dependencies: ["embed-files"]),

        // Rooms.
        room("NauraRules", [], settings: optimised),
        .target(name: "NauraSchemas", path: "schemas", swiftSettings: strict, plugins: ["EmbedFiles"]),
        room("NauraEvents", ["NauraSchemas", crypto], settings: optimised),
        room("NauraFailpoints", [], settings: optimised),
        room("NauraProcess", []),
        room("NauraPostgres", ["NauraFailpoints", "NauraProcess", "CLibPQ", log], settings: optimised),
        room("NauraKafka", ["NauraProcess", "CRDKafka", log], settings: optimised),
        room("NauraLedger", ["NauraFailpoints", "NauraPostgres", "NauraEvents", crypto], settings: optimised),
        room(
            "NauraStage",
            [
                "NauraFailpoints", "NauraProcess", "NauraKafka", "NauraLedger", "NauraPostgres", "NauraEvents",
                hummingbird,
                lifecycle, unixSignals, configuration, log, nioCore, nioHTTP1, httpTypes, asyncHTTPClient,
            ], settings: optimised),
        room("NauraStore", ["NauraPostgres", "NauraRules"]),
        room(
            "NauraData",
            ["NauraFailpoints", "NauraRules", crypto, asyncHTTPClient, nioCore, nioHTTP1, product("Yams", "Yams")],
            settings: optimised),
        room("NauraModels", ["CXGBoost", "NauraRules", crypto], settings: optimised),
        room(
            "NauraServing",
            [
                "NauraModels", "NauraStore", "NauraPostgres", "NauraData", "NauraEvents", "NauraRules", hummingbird,
                log, nioCore, nioPosix, nioHTTP1, httpTypes, crypto, lifecycle,
            ], settings: optimised),
        room(
            "NauraAPI",
            [
                "NauraStore", "NauraLedger", "NauraPostgres", "NauraData", "NauraEvents", "NauraRules", hummingbird,
                product("Mustache", "swift-mustache"), crypto, log, nioCore, httpTypes, lifecycle,
            ], exclude: ["pages"], plugins: ["EmbedFiles"]),
        room(
            "NauraTestKit",
            [
                "NauraStage", "NauraKafka", "NauraLedger", "NauraPostgres", "NauraStore", "NauraEvents",
                "NauraSchemas", "NauraData", "NauraRules", log,
            ]),

        // Workers.
        worker("validate"),
        worker("featurize"),
        worker("schedule", [lifecycle]),
        worker("train", ["NauraModels"]),
        worker("promote", ["NauraModels"]),
        worker("rollout"),
        worker("serve", ["NauraServing", "NauraModels", lifecycle]),
        worker("monitor", ["NauraModels"]),
        worker("notify", ["NauraFailpoints", asyncHTTPClient, nioCore, nioHTTP1, lifecycle]),
        worker("api", ["NauraAPI", lifecycle]),

        // The command line.
        .executableTarget(
            name: "naura",
            dependencies: [
                "NauraData", "NauraModels", "NauraStore", "NauraStage", "NauraLedger", "NauraPostgres", "NauraKafka",
                "NauraProcess", "NauraRules", "NauraEvents", "NauraSchemas", asyncHTTPClient, nioCore, nioHTTP1,
                product("ArgumentParser", "swift-argument-parser"), log, hummingbird,
            ], swiftSettings: strict, linkerSettings: linking),

        // Measurements; `make bench`.
        .executableTarget(
            name: "runtime-benchmark",
            dependencies: [
                "NauraStage", "NauraKafka", "NauraLedger", "NauraPostgres", "NauraProcess", "NauraEvents",
                "NauraSchemas",
                log,
            ],
            path: "Benchmarks/runtime", swiftSettings: strict, linkerSettings: linking),
        .executableTarget(
            name: "serving-benchmark",
            dependencies: [
                "NauraServing", "NauraModels", "NauraStore", "NauraData", "NauraEvents", "NauraRules", hummingbird,
                nioCore, nioPosix, httpTypes, log, lifecycle, unixSignals,
            ],
            path: "Benchmarks/serving", swiftSettings: strict, linkerSettings: linking),
        .executableTarget(
            name: "training-benchmark", dependencies: ["NauraModels", "NauraRules", "CXGBoost"],
            path: "Benchmarks/training", swiftSettings: strict, linkerSettings: linking),

        // A worker that does what a test tells it, for the runtime's tests.
        .executableTarget(
            name: "probe-worker",
            dependencies: ["NauraStage", "NauraLedger", "NauraPostgres", "NauraEvents", "NauraSchemas", log],
            path: "Tests/ProbeWorker", swiftSettings: strict, linkerSettings: linking),

        // Tests: units a room, one server, the composed system.
        .testTarget(
            name: "NauraRulesTests", dependencies: ["NauraRules", "NauraTestKit"], exclude: ["Fixtures"],
            swiftSettings: optimised),
        .testTarget(
            name: "NauraEventsTests",
            dependencies: ["NauraEvents", "NauraRules", "NauraSchemas", "NauraTestKit", product("Yams", "Yams")],
            swiftSettings: strict),
        .testTarget(name: "NauraProcessTests", dependencies: ["NauraProcess"], swiftSettings: strict),
        .testTarget(
            name: "NauraPostgresTests", dependencies: ["NauraPostgres", "NauraProcess", "NauraTestKit"],
            swiftSettings: strict),
        .testTarget(name: "NauraKafkaTests", dependencies: ["NauraKafka", "NauraTestKit"], swiftSettings: strict),
        .testTarget(
            name: "NauraDataTests", dependencies: ["NauraData", "NauraRules", "NauraSchemas", "NauraTestKit"],
            swiftSettings: strict),
        .testTarget(
            name: "NauraModelsTests", dependencies: ["NauraModels", "NauraRules", "NauraTestKit", "CXGBoost"],
            swiftSettings: strict),
        .testTarget(
            name: "NauraServingTests",
            dependencies: [
                "NauraServing", "NauraModels", "NauraStore", "NauraData", "NauraEvents", "NauraRules", "NauraTestKit",
                asyncHTTPClient, nioCore, nioHTTP1, log, lifecycle,
            ], swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "NauraStage", "NauraLedger", "NauraStore", "NauraServing", "NauraAPI", "NauraTestKit", "NauraModels",
                "NauraData", asyncHTTPClient, nioCore, "NauraKafka", "NauraPostgres", "NauraEvents", "NauraRules",
                "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify",
                "api", "probe-worker", "NauraFailpoints", log, lifecycle, crypto, nioHTTP1, configuration,
            ], exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "naura", "NauraTestKit", "NauraLedger", "NauraStore", "NauraKafka", "NauraPostgres", "NauraEvents",
                "NauraProcess", "validate", "notify", log,
            ], swiftSettings: strict),
        .testTarget(
            name: "PipelineTests",
            dependencies: [
                "NauraTestKit", "NauraFailpoints", "NauraPostgres", "NauraStore", "NauraData", "NauraEvents",
                "NauraLedger", "NauraRules", asyncHTTPClient, nioCore, nioHTTP1, crypto,
                log, "validate", "featurize", "schedule", "train", "promote", "rollout", "serve", "monitor", "notify",
                "api",
            ], swiftSettings: strict),
        // The runtime's protocol as a model, every state of it: optimised, or it takes minutes.
        .testTarget(name: "ProtocolTests", swiftSettings: optimised),
        .testTarget(
            name: "ArchitectureTests", dependencies: ["NauraFailpoints", "NauraEvents", "NauraSchemas"],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
