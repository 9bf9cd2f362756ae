@main enum Naura { static func main() async throws { print("naura") } }
