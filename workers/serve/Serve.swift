@main enum ServeWorker { static func main() async throws { print("serve") } }
