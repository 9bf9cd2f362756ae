import Crypto
import Foundation
import Mustache

/// The page, rendered from the embedded templates.
struct Pages: Sendable {
    let css: String
    /// Lets the browser run the page's own script and nothing else.
    let contentSecurityPolicy: String
    private let library: MustacheLibrary

    /// The parts that are pushed, each the name of its template and the id of its element.
    private static let parts = [
        "status", "loop", "models", "rollouts", "runs", "drift", "workers", "alerts", "recent",
    ]

    /// What the whole page's template sees.
    private struct Page {
        let now: Int
        let status: StatusLine
        let loop: LoopPicture
        let models: ModelCards
        let rollouts: RolloutCards
        let runs: RunCards
        let drift: DriftCards
        let workers: WorkerTable
        let alerts: AlertList
        let recent: EventTable
    }

    /// - Throws: when an embedded template is broken or missing, which a test sees first.
    init() throws {
        var library = MustacheLibrary()
        for (name, text) in EmbeddedFiles.all where name.hasSuffix(".mustache") {
            let bare = name.split(separator: "/").last.map { $0.dropLast(".mustache".count) } ?? ""
            try library.register(Pages.trimmed(text), named: String(bare))
        }
        for name in Pages.parts + ["page", "script"] where library.getTemplate(named: name) == nil {
            throw CocoaError(.fileNoSuchFile, userInfo: [NSFilePathErrorKey: "pages/\(name).mustache"])
        }
        self.library = library
        css = EmbeddedFiles.all.first { $0.name.hasSuffix("page.css") }?.text ?? ""
        let script = library.render([String: String](), withTemplate: "script") ?? ""
        let hash = Data(SHA256.hash(data: Data(script.utf8))).base64EncodedString()
        contentSecurityPolicy =
            "default-src 'none'; style-src 'self'; script-src 'sha256-\(hash)'; connect-src 'self'; img-src data:; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }

    /// The embedded text ends in a line break of the literal's own.
    private static func trimmed(_ text: String) -> String {
        var text = text
        while text.last == "\n" { text.removeLast() }
        return text
    }

    func page(_ snapshot: LoopSnapshot, awaySince: Date?) -> String {
        library.render(model(snapshot, awaySince: awaySince), withTemplate: "page") ?? ""
    }

    func fragments(_ snapshot: LoopSnapshot, awaySince: Date?) -> [LiveView.Fragment] {
        let page = model(snapshot, awaySince: awaySince)
        let parts: [(String, Any)] = [
            ("status", page.status), ("loop", page.loop), ("models", page.models), ("rollouts", page.rollouts),
            ("runs", page.runs), ("drift", page.drift), ("workers", page.workers), ("alerts", page.alerts),
            ("recent", page.recent),
        ]
        return parts.map { name, value in
            LiveView.Fragment(id: name, html: library.render(value, withTemplate: name) ?? "")
        }
    }

    private func model(_ snapshot: LoopSnapshot, awaySince: Date?) -> Page {
        Page(
            now: Int((Date.now.timeIntervalSince1970 * 1_000).rounded()),
            status: StatusLine(snapshot, awaySince: awaySince), loop: LoopPicture(snapshot),
            models: ModelCards(snapshot), rollouts: RolloutCards(snapshot), runs: RunCards(snapshot),
            drift: DriftCards(snapshot), workers: WorkerTable(snapshot), alerts: AlertList(snapshot),
            recent: EventTable(snapshot))
    }
}
