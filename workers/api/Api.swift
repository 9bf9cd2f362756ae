@main enum ApiWorker { static func main() async throws { print("api") } }
