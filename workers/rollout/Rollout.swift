@main enum RolloutWorker { static func main() async throws { print("rollout") } }
