@main enum ValidateWorker { static func main() async throws { print("validate") } }
