# The commands of every day. `make help` lists them. Each installs what is missing first (ops/bootstrap).

SWIFT_BUILD ?= swift build
SOURCES := Package.swift Sources Tests workers schemas Plugins

.DEFAULT_GOAL := help
.PHONY: help release-schemas bootstrap build release format lint test fuzz chaos race upgrade soak demo bench clean

help: ## this list
	@printf 'make TARGET\n\n'
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | column -t -s '	'

bootstrap: ## install the libraries, PostgreSQL and the laptop broker
	@ops/bootstrap

build: bootstrap ## a debug build: .build/debug/naura and the workers beside it
	$(SWIFT_BUILD)

release: bootstrap ## an optimised build: .build/release/naura and the workers beside it
	$(SWIFT_BUILD) -c release

format: ## rewrite the sources in the house format
	swift format --in-place --parallel --recursive $(SOURCES)

lint: ## fail on anything that is not in the house format, or a file of ops/ that its checker refuses
	swift format lint --strict --parallel --recursive $(SOURCES)
	@ops/check

# Units run side by side. Tests that start servers, browsers and workers run one after another: on two cores they would
# only wait for each other.
test: ## everything CI runs: install, lint, build, all tests
	@ops/bootstrap --test
	$(MAKE) --no-print-directory lint
	$(SWIFT_BUILD) --build-tests
	swift test --skip-build --disable-xctest --skip IntegrationTests --skip PipelineTests --skip NauraKafkaTests --skip NauraPostgresTests --skip NauraServingTests --skip CommandLineTests
	Tests/Tools/run-tests --filter PipelineTests
	Tests/Tools/run-tests --no-parallel --filter NauraPostgresTests
	Tests/Tools/run-tests --no-parallel --filter NauraKafkaTests
	Tests/Tools/run-tests --no-parallel --filter NauraServingTests
	Tests/Tools/run-tests --no-parallel --filter CommandLineTests
	Tests/Tools/run-tests --no-parallel --filter IntegrationTests

fuzz: bootstrap ## feed all readers of what comes from outside with ROUNDS=100000 damaged inputs each
	$(SWIFT_BUILD) --build-tests
	NAURA_FUZZ_ROUNDS=$(or $(ROUNDS),100000) swift test --skip-build --disable-xctest --filter FuzzTests

# Every failpoint with twenty seeds, in every worker; faults repeated; a database that stands still for a minute.
chaos: bootstrap ## kill, freeze, cut and fill everything: some forty minutes
	$(SWIFT_BUILD) --build-tests
	NAURA_CHAOS_SEEDS=20 NAURA_CHAOS_LANES=4 swift test --skip-build --disable-xctest --no-parallel --filter IntegrationTests.ChaosTests
	NAURA_CHAOS_REPETITIONS=10 swift test --skip-build --disable-xctest --no-parallel --filter IntegrationTests.FaultTests
	NAURA_CHAOS_EVENTS=200000 NAURA_CHAOS_HOLD_SECONDS=60 swift test --skip-build --disable-xctest --no-parallel --filter IntegrationTests.FaultLoadTests
	NAURA_LONG_TESTS=1 swift test --skip-build --disable-xctest --no-parallel --filter IntegrationTests.ScaleTests
	NAURA_CHAOS_POINTS=40 NAURA_CHAOS_RUNS=5 swift test --skip-build --disable-xctest --no-parallel --filter PipelineTests.PipelineChaosTests

# Units with concurrency, and what composes it: the Kafka and PostgreSQL clients, the runtime in its processes, gateways.
RACE := NauraPostgresTests NauraKafkaTests NauraServingTests NauraProcessTests IntegrationTests.RuntimeTests/ IntegrationTests.JobRunnerTests IntegrationTests.ChaosTests IntegrationTests.FaultTests PipelineTests.WholeRunTests
race: bootstrap ## the same code under ThreadSanitizer, in a build of its own: some fifteen minutes; ONLY=FILTER for a part
	NAURA_SANITIZE=thread $(SWIFT_BUILD) --build-tests --sanitize=thread --scratch-path .build-race
	Tests/Tools/run-sanitized $(or $(ONLY),$(RACE))

# FROM=COMMIT is built once, in a work tree of its own (as long as a first build here); FROM_BIN=DIR has its programs ready.
upgrade: bootstrap ## run workers of an earlier commit beside these: FROM=COMMIT, or FROM_BIN=DIR with its programs
	@[ -n "$(FROM)$(FROM_BIN)" ] || { printf 'make upgrade: say FROM=COMMIT, or FROM_BIN=DIR\n' >&2; exit 2; }
	$(SWIFT_BUILD) --build-tests
	programs=$(or $(FROM_BIN),$$(Tests/Tools/earlier-programs $(FROM))) && \
	NAURA_UPGRADE_FROM=$$programs swift test --skip-build --disable-xctest --no-parallel --filter 'IntegrationTests.UpgradeTests|PipelineUpgradeTests'

# Retention is shortened to seconds for it, so that pruning is seen within minutes.
soak: bootstrap ## all workers under steady load for MINUTES=10: memory's slope, and what the tables hold
	@Benchmarks/soak $(or $(MINUTES),10)

release-schemas: ## keep the event schemas as they are now, for later ones to be held against; only at a release
	cp schemas/*.v*.json schemas/released/

demo: release ## the story, told on the terminal; EXIT=1 ends by itself and leaves .naura/demo-report.json
	.build/release/naura demo $(if $(EXIT),--exit)

bench: bootstrap ## measure; a Markdown table into Benchmarks/results/
	@Benchmarks/run

clean: ## remove what was built; .naura/ stays
	swift package clean
