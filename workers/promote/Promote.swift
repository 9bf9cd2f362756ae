@main enum PromoteWorker { static func main() async throws { print("promote") } }
