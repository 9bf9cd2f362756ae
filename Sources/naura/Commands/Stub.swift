import ArgumentParser
struct Init: AsyncParsableCommand { func run() async throws {} }
struct Apply: AsyncParsableCommand { func run() async throws {} }
struct TrafficCommand: AsyncParsableCommand { func run() async throws {} }
struct Demo: AsyncParsableCommand { func run() async throws {} }
