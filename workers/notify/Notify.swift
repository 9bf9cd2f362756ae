@main enum NotifyWorker { static func main() async throws { print("notify") } }
