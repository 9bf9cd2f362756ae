@main enum FeaturizeWorker { static func main() async throws { print("featurize") } }
