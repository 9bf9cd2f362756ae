import HTTPTypes
import Hummingbird
import NIOCore
import ServiceLifecycle

/// `GET /events`: the page's parts as server-sent events, each named after the element that it fills.
struct EventStream: Sendable {
    let live: LiveView

    func response(to request: Request) -> Response {
        let body = request.body
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-store",
                HTTPField.Name("x-accel-buffering")!: "no",
            ],
            body: .init { [live] writer in
                var output = writer
                let (id, fragments) = await live.subscribe()
                do {
                    try await body.consumeWithCancellationOnInboundClose { _ in
                        try await output.write(ByteBuffer(string: "retry: 1000\n\n"))
                        for await changed in fragments.cancelOnGracefulShutdown() {
                            try await output.write(ByteBuffer(string: Self.text(changed)))
                        }
                    }
                } catch {
                    // The browser has gone; nobody is left to tell.
                    await live.unsubscribe(id)
                    throw error
                }
                await live.unsubscribe(id)
                try await output.finish(nil)
            })
    }

    /// Each line of the data gets a field of its own; the browser joins them again.
    static func text(_ fragments: [LiveView.Fragment]) -> String {
        fragments.map { fragment in
            let lines = fragment.html.split(separator: "\n", omittingEmptySubsequences: false)
            return "event: \(fragment.id)\n" + lines.map { "data: \($0)\n" }.joined() + "\n"
        }.joined()
    }
}
