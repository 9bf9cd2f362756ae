public import NauraPostgres
public import NauraRules

/// One version as a route names it.
public struct RoutedVersion: Codable, Sendable, Equatable {
    /// The version's number.
    public let version: Int
    /// The digest of its model package.
    public let digest: String
    /// The SHA-256 under which the artifact store holds the package.
    public let artifact: String

    public init(version: Int, digest: String, artifact: String) {
        self.version = version
        self.digest = digest
        self.artifact = artifact
    }
}

/// A feature view as a gateway reads its online rows.
public struct ServedView: Codable, Sendable, Equatable {
    /// A feature's name and whether it is a number or a text.
    public struct Feature: Codable, Sendable, Equatable {
        public let name: String
        public let type: FeatureType

        public init(name: String, type: FeatureType) {
            self.name = name
            self.type = type
        }
    }

    public let id: Int32
    public let name: String
    /// The column that names the entity.
    public let joinKey: String
    /// How long a row stays valid after its event time; nil for ever.
    public let ttlSeconds: Double?
    /// In file order. A row holds the numbers' values and the texts' values apart, each in this order.
    public let features: [Feature]

    public init(id: Int32, name: String, joinKey: String, ttlSeconds: Double?, features: [Feature]) {
        self.id = id
        self.name = name
        self.joinKey = joinKey
        self.ttlSeconds = ttlSeconds
        self.features = features
    }
}

/// All that a gateway must know to answer for one model.
public struct ServedRoute: Codable, Sendable, Equatable {
    public let model: String
    /// Grows with each change of the route; 0 while the model has none.
    public let epoch: Int64
    /// Who answers everyone outside the canary; nil while no version has been rolled out.
    public let champion: RoutedVersion?
    /// Who answers the share `weight` of units.
    public let canary: RoutedVersion?
    public let weight: Double
    /// Salts the units' hashes; fixed for a rollout.
    public let salt: String
    public let rollout: Int64?
    /// The request's column that names its unit: as the running rollout's rules say, else the project file.
    public let unit: String?
    /// The running rollout's threshold of a slow answer.
    public let slowSeconds: Double?
    /// The model's feature views.
    public let views: [ServedView]

    public init(
        model: String, epoch: Int64, champion: RoutedVersion?, canary: RoutedVersion? = nil, weight: Double = 0,
        salt: String = "", rollout: Int64? = nil, unit: String? = nil, slowSeconds: Double? = nil,
        views: [ServedView] = []
    ) {
        self.model = model
        self.epoch = epoch
        self.champion = champion
        self.canary = canary
        self.weight = weight
        self.salt = salt
        self.rollout = rollout
        self.unit = unit
        self.slowSeconds = slowSeconds
        self.views = views
    }

    /// The column that names the entity in the model's views; nil when it has none, or they differ.
    public var keyColumn: String? {
        let keys = Set(views.map(\.joinKey))
        return keys.count == 1 ? keys.first : nil
    }
}

/// What every gateway serves, read as one moment. `Routes` changes it.
public enum RouteTable {
    /// The route of each model that has one, and of each model of an applied project file that has none yet.
    public static func read(from database: Database) async throws -> [ServedRoute] {
        try await database.query(
            """
            select n.name as model, r.epoch, r.champion, r.canary, r.weight, r.salt, r.rollout_id,
                c.digest as champion_digest, c.artifact as champion_artifact,
                k.digest as canary_digest, k.artifact as canary_artifact,
                o.rules, m.definition, v.views
            from (select name from naura.model where not is_retired union select model from naura.route) n
            left join naura.route r on r.model = n.name
            left join naura.model_version c on c.model = r.model and c.version = r.champion
            left join naura.model_version k on k.model = r.model and k.version = r.canary
            left join naura.rollout o on o.id = r.rollout_id
            left join naura.model m on m.name = n.name
            left join lateral (
                select jsonb_agg(jsonb_build_object('id', w.id, 'name', w.name, 'definition', w.definition)
                    order by w.name) as views
                from naura.feature_view w
                where w.is_current and m.definition->'features' @> to_jsonb(w.name)) v on true
            order by n.name
            limit 10000
            """
        ).map(route)
    }

    /// The parts of a rollout's rules that a gateway acts on.
    private struct Rules: Decodable {
        let unit: String?
        let slowSeconds: Double?
    }

    /// The parts of a model's definition that a gateway acts on.
    private struct Definition: Decodable {
        let rollout: Rules?
    }

    private struct View: Decodable {
        struct Definition: Decodable {
            let joinKey: String
            let ttlSeconds: Double?
            let features: [ServedView.Feature]
        }
        let id: Int32
        let name: String
        let definition: Definition
    }

    private static func route(_ row: Row) throws -> ServedRoute {
        let rules = try row.jsonIfPresent("rules", as: Rules.self)
        let definition = try row.jsonIfPresent("definition", as: Definition.self)
        let canary = try version(row, "canary")
        let views = try row.jsonIfPresent("views", as: [View].self) ?? []
        return ServedRoute(
            model: try row.get("model"), epoch: try row.get("epoch", as: Int64?.self) ?? 0,
            champion: try version(row, "champion"), canary: canary,
            weight: try row.get("weight", as: Double?.self) ?? 0, salt: try row.get("salt", as: String?.self) ?? "",
            rollout: try row.get("rollout_id"),
            unit: canary == nil ? definition?.rollout?.unit : rules?.unit, slowSeconds: rules?.slowSeconds,
            views: views.map {
                ServedView(
                    id: $0.id, name: $0.name, joinKey: $0.definition.joinKey, ttlSeconds: $0.definition.ttlSeconds,
                    features: $0.definition.features)
            })
    }

    private static func version(_ row: Row, _ arm: String) throws -> RoutedVersion? {
        guard let version = try row.get(arm, as: Int?.self),
            let digest = try row.get("\(arm)_digest", as: String?.self),
            let artifact = try row.get("\(arm)_artifact", as: String?.self)
        else { return nil }
        return RoutedVersion(version: version, digest: digest, artifact: artifact)
    }
}
