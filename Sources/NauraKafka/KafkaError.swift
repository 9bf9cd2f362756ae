import CRDKafka

/// Why something with the broker did not work.
///
/// A transient one is worth waiting for: the broker is away, a rebalance is under way, a queue is full.
public struct KafkaError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure this is; new kinds may be added at any time.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// The kind's name as it stands in logs.
        public let rawValue: String
        /// Wraps a name; use the constants.
        public init(rawValue: String) { self.rawValue = rawValue }
        /// The kind's name.
        public var description: String { rawValue }

        /// A setting that librdkafka refuses.
        public static let configuration = Code(rawValue: "configuration")
        /// No broker answers.
        public static let brokerUnavailable = Code(rawValue: "broker-unavailable")
        /// An answer did not come in time; whether the broker acted on the question is not known.
        public static let timedOut = Code(rawValue: "timed-out")
        /// The producer's bounded buffer is full.
        public static let queueFull = Code(rawValue: "queue-full")
        /// The partition is not, or no longer, this consumer's.
        public static let notAssigned = Code(rawValue: "not-assigned")
        /// The group is rebalancing; the same call works afterwards if the partition is still held.
        public static let rebalancing = Code(rawValue: "rebalancing")
        /// The client was closed.
        public static let closed = Code(rawValue: "closed")
        /// The topic or partition does not exist (yet).
        public static let topicMissing = Code(rawValue: "topic-missing")
        /// The message is larger than the broker takes.
        public static let messageTooLarge = Code(rawValue: "message-too-large")
        /// The broker refuses the credentials, or what they may do.
        public static let notAuthorized = Code(rawValue: "not-authorized")
        /// The client cannot go on; a new one can.
        public static let fatal = Code(rawValue: "fatal")
        /// The local broker's program is missing or does not start.
        public static let brokerProgram = Code(rawValue: "broker-program")
        /// Any other answer of broker or library; ``KafkaError/libraryCode`` says which.
        public static let other = Code(rawValue: "other")
    }

    /// What kind of failure this is.
    public let code: Code
    /// A sentence with the values at fault; never a secret.
    public let message: String
    /// librdkafka's `rd_kafka_resp_err_t`; 0 where the failure is not librdkafka's.
    public let libraryCode: Int32
    /// Whether trying the same again later can work.
    public let isTransient: Bool

    /// Makes an error of our own.
    public init(_ code: Code, _ message: String, isTransient: Bool = false) {
        self.code = code
        self.message = message
        self.libraryCode = 0
        self.isTransient = isTransient
    }

    /// Translates librdkafka's `error`, which happened while `doing`.
    init(_ error: rd_kafka_resp_err_t, while doing: String) {
        let kind = Self.kind(of: error)
        self.code = kind.code
        self.isTransient = kind.isTransient
        self.libraryCode = error.rawValue
        self.message = "\(doing): \(String(cString: rd_kafka_err2str(error)))"
    }

    /// The code, the message and the library's number.
    public var description: String {
        libraryCode == 0 ? "kafka \(code): \(message)" : "kafka \(code): \(message) (\(libraryCode))"
    }

    private static func kind(of error: rd_kafka_resp_err_t) -> (code: Code, isTransient: Bool) {
        switch error {
        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__RESOLVE,
            RD_KAFKA_RESP_ERR__WAIT_COORD, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
            RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
            RD_KAFKA_RESP_ERR_NOT_CONTROLLER, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
            (.brokerUnavailable, true)
        case RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
            RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
            (.timedOut, true)
        case RD_KAFKA_RESP_ERR__QUEUE_FULL:
            (.queueFull, true)
        case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
            RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
            (.notAssigned, false)
        case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
            (.rebalancing, true)
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
            (.topicMissing, true)
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
            (.messageTooLarge, false)
        case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR__SSL:
            (.notAuthorized, false)
        case RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RD_KAFKA_RESP_ERR__FATAL,
            RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
            // The producer makes a new client by itself; the messages may be sent again.
            (.fatal, true)
        case RD_KAFKA_RESP_ERR__INVALID_ARG, RD_KAFKA_RESP_ERR__CONFLICT:
            (.configuration, false)
        case RD_KAFKA_RESP_ERR__DESTROY, RD_KAFKA_RESP_ERR__STATE:
            (.closed, false)
        default:
            (.other, false)
        }
    }
}
