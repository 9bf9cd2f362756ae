public import NauraPostgres
public import NauraStore

/// Where the features of an entity are read from.
public protocol FeatureSource: Sendable {
    /// The newest row of each of `views` for the entity `key`; views without one are not in the answer.
    ///
    /// - Throws: when the store cannot be read now.
    func rows(of views: [Int32], key: String) async throws -> [OnlineRow]
}

/// The online store in PostgreSQL.
public struct DatabaseFeatures: FeatureSource {
    private let database: Database

    /// Reads from `database`.
    public init(_ database: Database) { self.database = database }

    public func rows(of views: [Int32], key: String) async throws -> [OnlineRow] {
        try await OnlineFeatures.rows(of: views, key: key, from: database)
    }
}
