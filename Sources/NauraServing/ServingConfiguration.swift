public import NauraRules

/// What a gateway is told.
public struct ServingConfiguration: Sendable {
    /// Names this gateway in windows and in the table of gateways; unique among those that run.
    public var name: String
    /// The address to listen on.
    public var host: String
    /// The port to listen on; 0 takes a free one.
    public var port: Int
    /// What every route but health wants as `Authorization: Bearer …`; nil on a loopback address only.
    public var token: AccessToken?
    /// Where routes and packages are remembered.
    public var cacheDirectory: String
    /// The artifact store that trainers fill.
    public var artifactsDirectory: String
    /// A longer body is answered 413.
    public var bodyBytesMax = 1 << 20
    /// Requests at a time; further ones are answered 503.
    public var inFlightMax = 512
    /// Predictions by key at a time: they wait for the database, and must not take everybody's place.
    public var keyedInFlightMax = 64
    /// How long a read of the online store may take before it is answered 503.
    public var featureReadMax: Duration = .seconds(1)
    /// Prediction records that may wait to be published, all models together.
    public var recordBytesMax = 32 << 20
    /// Whether answers are recorded at all; without, nothing is known of drift and quality.
    public var recordsPredictions = true
    /// How long routes count as current after they were read; older ones serve the champion alone.
    public var routesFreshFor: Duration = .seconds(30)
    /// How often telemetry is published.
    public var reportEvery: Duration = .milliseconds(200)

    /// A gateway with the usual limits.
    public init(
        name: String, host: String = "127.0.0.1", port: Int = 0, token: AccessToken? = nil, cacheDirectory: String,
        artifactsDirectory: String
    ) {
        self.name = name
        self.host = host
        self.port = port
        self.token = token
        self.cacheDirectory = cacheDirectory
        self.artifactsDirectory = artifactsDirectory
    }
}
