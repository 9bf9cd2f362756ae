@main enum TrainWorker { static func main() async throws { print("train") } }
