import CRDKafka

/// How a client reaches the broker and how patient it is.
///
/// | field | range | default |
/// | --- | --- | --- |
/// | `brokers` | `host:port`, comma-separated | none |
/// | `clientID` | any text | `naura` |
/// | `fetchWaitMax` | ≥ 1 ms | 5 ms: the laptop broker does not wake a waiting fetch, so this is the idle latency |
/// | `sessionTimeout` | 1 s … 30 min | 2 s: a killed member's partitions move after about 1.5 times this |
/// | `leavesGroup` | | true; false for the laptop broker: a closed consumer's partitions move after `sessionTimeout` |
/// | `pollMax` | ≥ `sessionTimeout` | 5 min without a poll, and a member's partitions go to others |
/// | `backlogRecordsMax` | ≥ 1 | 10,000 records fetched ahead, a partition |
/// | `backlogKilobytesMax` | ≥ 1 | 4,096 KiB fetched ahead, a partition |
/// | `linger` | ≥ 0 | 0: a message leaves at once; of a large batch, after a millisecond at the latest |
/// | `deliveryTimeout` | > 0 | 30 s until an undelivered message fails as transient |
/// | `bufferMessagesMax` | ≥ 1 | 100,000 messages under way in a producer |
/// | `bufferKilobytesMax` | ≥ 1 | 65,536 KiB under way in a producer |
public struct KafkaConfiguration: Sendable, CustomStringConvertible {
    /// The brokers to ask first: `host:port`, comma-separated.
    public var brokers: String
    /// How this client calls itself in the broker's logs.
    public var clientID: String
    /// How long the broker may hold a fetch that finds nothing.
    public var fetchWaitMax: Duration = .milliseconds(5)
    /// After this long without a heartbeat a member's partitions go to others.
    public var sessionTimeout: Duration = .seconds(2)
    /// Whether a consumer that closes says so to its group, so that others take its partitions at once.
    ///
    /// The laptop broker (Tansu 0.6.0) loses a group by it: where its leader leaves while another member joins, all that
    /// come later wait for that leader for ever. Silence it takes well.
    public var leavesGroup = true
    /// After this long without a poll a member counts as hung, and its partitions go to others. What is handled, and how
    /// long that takes, has no part in it: a thread of its own polls.
    public var pollMax: Duration = .seconds(300)
    /// How many records a partition may have waiting in memory; then it is not fetched until there is room.
    public var backlogRecordsMax = 10_000
    /// How many KiB a partition may have waiting in memory (one fetch, 1 MiB, may exceed it).
    public var backlogKilobytesMax = 4_096
    /// How long a message waits for others to travel with.
    public var linger: Duration = .zero
    /// How long a message may remain undelivered.
    public var deliveryTimeout: Duration = .seconds(30)
    /// How many messages a producer may have under way.
    public var bufferMessagesMax = 100_000
    /// How many KiB of messages a producer may have under way.
    public var bufferKilobytesMax = 65_536
    /// Encryption and credentials.
    public var security = KafkaSecurity()
    /// More settings of librdkafka by its own names; they win over all others.
    public var additional: [String: String] = [:]

    /// A client of `brokers` with the laptop's settings.
    public init(brokers: String, clientID: String = "naura") {
        self.brokers = brokers
        self.clientID = clientID
    }

    /// Brokers, client and transport; never ``additional``, which may hold secrets.
    public var description: String { "\(clientID) at \(brokers) (\(security))" }

    /// What consumer, producer and admin have in common.
    private var commonSettings: [(String, String)] {
        [
            ("bootstrap.servers", brokers), ("client.id", clientID), ("socket.nagle.disable", "true"),
            ("socket.keepalive.enable", "true"), ("socket.timeout.ms", "10000"),
            ("socket.connection.setup.timeout.ms", "5000"), ("reconnect.backoff.ms", "200"),
            ("reconnect.backoff.max.ms", "1000"), ("topic.metadata.refresh.interval.ms", "5000"),
            ("topic.metadata.propagation.max.ms", "5000"), ("log.connection.close", "false"), ("log.queue", "true"),
        ] + security.settings
    }

    func consumerSettings(group: String, instance: String?) -> [(String, String)] {
        let session = sessionTimeout.milliseconds
        var settings = commonSettings
        settings += [
            ("group.id", group), ("session.timeout.ms", String(session)),
            ("heartbeat.interval.ms", String(max(100, session / 5))),
            ("max.poll.interval.ms", String(max(pollMax.milliseconds, session))),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"), ("allow.auto.create.topics", "false"),
            ("fetch.wait.max.ms", String(max(1, fetchWaitMax.milliseconds))), ("fetch.min.bytes", "1"),
            ("fetch.error.backoff.ms", "100"),
            // The default second would starve a partition whose full queue has just been emptied.
            ("fetch.queue.backoff.ms", "5"),
            // Per partition, since each has a queue of its own: this is the bound of the backlog.
            ("queued.min.messages", String(backlogRecordsMax)),
            ("queued.max.messages.kbytes", String(backlogKilobytesMax)),
        ]
        if let instance { settings.append(("group.instance.id", instance)) }
        return settings + extras
    }

    func producerSettings(lingersAtLeast least: Duration = .zero) -> [(String, String)] {
        let linger = max(linger, least)
        return commonSettings + [
            ("enable.idempotence", "true"), ("acks", "all"), ("partitioner", "murmur2_random"),
            ("linger.ms", String(linger.milliseconds)),
            ("message.timeout.ms", String(max(1, deliveryTimeout.milliseconds))),
            // The producer counts by itself and waits; librdkafka's own bound is never met.
            ("queue.buffering.max.messages", String(max(bufferMessagesMax * 2, 1_000_000))),
            ("queue.buffering.max.kbytes", String(min(2_097_151, bufferKilobytesMax * 4))),
        ] + extras
    }

    func adminSettings() -> [(String, String)] { commonSettings + extras }

    private var extras: [(String, String)] { additional.sorted { $0.key < $1.key } }
}

/// Encryption and credentials of a broker connection. Printing it shows no secret.
public struct KafkaSecurity: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// How the connection is protected.
    public enum Transport: String, Sendable {
        /// Neither encrypted nor authenticated: loopback only.
        case plaintext
        /// Encrypted by TLS.
        case tls = "ssl"
        /// Authenticated by SASL over an open connection.
        case saslPlaintext = "sasl_plaintext"
        /// Authenticated by SASL over TLS.
        case saslTLS = "sasl_ssl"
    }

    /// How the connection is protected.
    public var transport = Transport.plaintext
    /// A PEM file of the authorities to trust; nil trusts the system's.
    public var authorityFile: String?
    /// The client's certificate, a PEM file.
    public var certificateFile: String?
    /// The client's private key, a PEM file.
    public var keyFile: String?
    /// The private key's password.
    public var keyPassword: String?
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.
    public var mechanism: String?
    /// The SASL user.
    public var username: String?
    /// The SASL password.
    public var password: String?
    /// Where tokens come from, for `OAUTHBEARER`.
    public var oauth: OAuth?

    /// An identity provider that gives out tokens for a client's credentials (OpenID Connect, `client_credentials`).
    public struct OAuth: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
        let tokenURL: String
        let clientID: String
        let clientSecret: String
        let scope: String?

        public init(tokenURL: String, clientID: String, clientSecret: String, scope: String? = nil) {
            self.tokenURL = tokenURL
            self.clientID = clientID
            self.clientSecret = clientSecret
            self.scope = scope
        }

        /// The endpoint; no secret.
        public var description: String { "tokens from \(tokenURL)" }
        /// The same as ``description``.
        public var debugDescription: String { description }
    }

    /// An open connection without credentials.
    public init() {}

    /// The transport and the mechanism; no secret.
    public var description: String { mechanism.map { "\(transport.rawValue) \($0)" } ?? transport.rawValue }
    /// The same as ``description``.
    public var debugDescription: String { description }

    var settings: [(String, String)] {
        let optional: [(String, String?)] = [
            ("ssl.ca.location", authorityFile), ("ssl.certificate.location", certificateFile),
            ("ssl.key.location", keyFile), ("ssl.key.password", keyPassword), ("sasl.mechanism", mechanism),
            ("sasl.username", username), ("sasl.password", password),
            ("sasl.oauthbearer.method", oauth.map { _ in "oidc" }),
            ("sasl.oauthbearer.token.endpoint.url", oauth?.tokenURL), ("sasl.oauthbearer.client.id", oauth?.clientID),
            ("sasl.oauthbearer.client.secret", oauth?.clientSecret), ("sasl.oauthbearer.scope", oauth?.scope),
        ]
        return [("security.protocol", transport.rawValue)]
            + optional.compactMap { name, value in value.map { (name, $0) } }
    }
}

extension Duration {
    /// Whole milliseconds, rounded down.
    var milliseconds: Int64 {
        let parts = components
        return parts.seconds * 1_000 + parts.attoseconds / 1_000_000_000_000_000
    }
}
