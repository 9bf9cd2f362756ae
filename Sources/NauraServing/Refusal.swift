/// Why a request gets no answer: the HTTP status and the sentence in `{"error": …}`.
///
/// The sentence names what was found and what was expected; it repeats names of columns, never values.
struct Refusal: Error, Equatable {
    let status: Int
    let message: String
    /// The methods that the path takes, for 405.
    var allow: String?
    /// When another try makes sense, for 503.
    var retryAfterSeconds: Int?

    init(_ status: Int, _ message: String, allow: String? = nil, retryAfterSeconds: Int? = nil) {
        self.status = status
        self.message = message
        self.allow = allow
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// 400: the request is at fault.
    static func malformed(_ message: String) -> Refusal { Refusal(400, message) }

    /// 404: no model of that name.
    static func unknown(model: String) -> Refusal { Refusal(404, "there is no model \(model)") }

    /// 404: nothing at that path.
    static let unknownPath = Refusal(404, "there is nothing at this path")

    /// 503: to be tried again soon.
    static func unavailable(_ message: String, retryAfterSeconds: Int = 1) -> Refusal {
        Refusal(503, message, retryAfterSeconds: retryAfterSeconds)
    }
}
