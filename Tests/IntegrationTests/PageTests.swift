import Foundation
import NauraEvents
import NauraLedger
import NauraPostgres
import NauraTestKit
import Testing

@Suite("The page in a browser", .enabled(if: TestDatabase.isConfigured, "\(TestDatabase.requirement)"))
struct PageTests {
    @Test(
        "the loop moves when an event is published, without a reload and without a console error",
        .enabled(if: Browser.isAvailable, "needs chromium and chromedriver"))
    func moves() async throws {
        try await RunningAPI.with { api in
            try await Browser.with { browser in
                try await browser.open(api.address + "/")
                #expect(try await browser.wait(until: "document.getElementById('live').dataset.state === 'live'"))
                #expect(try await browser.value("document.querySelectorAll('svg.loop.wide .node').length") == 10)
                let isTallHidden = "getComputedStyle(document.querySelector('svg.loop.tall')).display === 'none'"
                #expect(try await browser.value(isTallHidden, as: Bool.self))
                for part in ["status", "loop", "models", "rollouts", "runs", "drift", "workers", "alerts", "recent"] {
                    let isFilled = "document.getElementById('\(part)').children.length > 0"
                    #expect(try await browser.value(isFilled, as: Bool.self), "\(part)")
                }
                let event = try EncodedEvent(
                    NewData(dataset: "customers", uri: "file:///a.csv"), id: "moved-the-loop", source: "/naura/cli",
                    time: .now)
                #expect(try await Publisher.publish(event, in: api.database))
                #expect(
                    try await browser.wait(until: "document.querySelector('[data-event=\"moved-the-loop\"]')"))
                #expect(try await browser.wait(until: "document.querySelector('.edge.new-data.moving')"))
                let note = "document.querySelector('svg.loop.wide [data-worker=\"validate\"] .note').textContent"
                #expect(try await browser.value(note, as: String.self) == "← new-data")
                let lines = try await browser.console()
                #expect(lines.filter { $0.level == "SEVERE" || $0.level == "WARNING" }.map(\.message) == [])
            }
        }
    }

    @Test(
        "on a phone the tall picture is shown and nothing is wider than the screen",
        .enabled(if: Browser.isAvailable, "needs chromium and chromedriver"))
    func phone() async throws {
        try await RunningAPI.with { api in
            try await Browser.with(width: 500, height: 900) { browser in
                try await browser.open(api.address + "/")
                let isWideHidden = "getComputedStyle(document.querySelector('svg.loop.wide')).display === 'none'"
                #expect(try await browser.value(isWideHidden, as: Bool.self))
                let isNarrow = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
                #expect(try await browser.value(isNarrow, as: Bool.self))
            }
        }
    }
}
