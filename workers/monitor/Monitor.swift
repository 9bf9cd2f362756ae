@main enum MonitorWorker { static func main() async throws { print("monitor") } }
