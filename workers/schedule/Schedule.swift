@main enum ScheduleWorker { static func main() async throws { print("schedule") } }
