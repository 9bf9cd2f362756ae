// Announces each slot of each model's calendar exactly once.

import Foundation
import Logging
import NauraEvents
import NauraLedger
import NauraRules
import NauraStage
import NauraStore
import ServiceLifecycle

@main enum ScheduleWorker {
    static func main() async {
        await Worker.run("schedule") { context in
            // Built without its zone data, Foundation knows no zone but UTC; better to say so now than on Monday at 3.
            guard TimeZone(identifier: "Europe/Berlin") != nil else {
                throw Rejection("this build of Foundation has no time zones", code: "no-time-zones")
            }
            return WorkerParts()
                .runner(AnnounceSlot(logger: context.logger))
                .service(FileSlots(context: context))
        }
    }
}

/// Files the next slot of each calendar whenever projects change, and now and then in case that went unheard.
///
/// Two schedulers file the same slots: a job of one kind and `about` exists once.
struct FileSlots: Service {
    let context: WorkerContext

    func run() async throws {
        for await _ in Calendars.changes(in: context.database).cancelOnGracefulShutdown() {
            do {
                try await file()
            } catch {
                // The next signal comes within seconds, and the slots' jobs that exist do not depend on this one.
                context.logger.warning("the calendar's slots could not be filed", metadata: ["error": "\(error)"])
            }
        }
    }

    private func file() async throws {
        let logger = context.logger
        try await context.transaction(as: "schedule") { work in try await Self.file(logger: logger, in: work) }
    }

    /// Files the next slot of each calendar there is.
    static func file(logger: Logger, in work: borrowing Work) async throws {
        let (calendars, now) = try await Calendars.all(in: work.transaction)
        for calendar in calendars { try await AnnounceSlot.file(calendar, after: now, logger: logger, in: work) }
    }
}

/// Announces a slot that has come due, and files the one after it.
///
/// A slot that came due while no scheduler ran is announced once when one runs again: of several, the latest alone.
struct AnnounceSlot: JobRunner {
    struct Arguments: Codable, Sendable {
        let calendar: ModelCalendar
        let slot: Date
    }

    static let kind: JobKind = "announce-slot"
    static let policy = JobPolicy(timeout: .seconds(60))
    let logger: Logger

    func run(_ job: Job<Arguments>, under lease: Lease) async throws {
        let arguments = job.arguments
        try await lease.settle { work in
            let (calendar, now) = try await Calendars.find(arguments.calendar.model, in: work.transaction)
            // The calendar was changed or taken away since; its own slots have their own jobs.
            guard let calendar, calendar == arguments.calendar else { return }
            let schedule = try CronSchedule(calendar.cron, timeZone: calendar.timeZone)
            let slot = max(schedule.latest(upTo: now) ?? arguments.slot, arguments.slot)
            try await work.emit(
                RetrainDue(
                    model: ModelID(rawValue: calendar.model), slot: slot, reason: "the calendar \(calendar.cron)"),
                about: Self.about(calendar, slot))
            try await Self.file(calendar, after: max(now, slot), logger: logger, in: work)
        }
    }

    /// Files the first slot of `calendar` after `moment`; `moment` is now.
    static func file(
        _ calendar: ModelCalendar, after moment: Date, logger: Logger, in work: borrowing Work
    ) async throws {
        let schedule: CronSchedule
        do {
            schedule = try CronSchedule(calendar.cron, timeZone: calendar.timeZone)
        } catch {
            // `apply` refuses such a calendar; one that came by another way must not stop the others.
            logger.error(
                "a calendar cannot be read", metadata: ["model": "\(calendar.model)", "error": "\(error)"])
            return
        }
        guard let slot = schedule.next(after: moment) else { return }
        // A key of its own: a slot of an older calendar, weeks away, must not hold up this one.
        let about = about(calendar, slot)
        try await work.file(
            kind, key: about, about: about, arguments: Arguments(calendar: calendar, slot: slot),
            after: .seconds(slot.timeIntervalSince(moment)))
    }

    private static func about(_ calendar: ModelCalendar, _ slot: Date) -> String {
        "\(calendar.model)/\(calendar.timeZone)/\(calendar.cron)/\(slot.formatted(.iso8601))"
    }
}

extension CronSchedule {
    /// The last slot at or before `moment`; nil when there was none in the ten years before.
    func latest(upTo moment: Date) -> Date? {
        var lookback = 60.0
        while lookback < 10 * 366 * 86_400 {
            // Doubling finds a span that holds a slot while its later half holds none, so few slots have to be walked.
            if var slot = next(after: moment - lookback), slot <= moment {
                while let later = next(after: slot), later <= moment { slot = later }
                return slot
            }
            lookback *= 2
        }
        return nil
    }
}
