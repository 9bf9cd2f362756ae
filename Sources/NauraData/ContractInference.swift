import NauraRules

/// Makes a contract from one file, with room for the files that will follow it.
///
/// What a next month may bring is let in: new categories, larger numbers, decimals where there were whole numbers, some
/// empty cells. What only a broken file brings is not: a column that is gone or changed its type, a column that was
/// nearly always filled and is now mostly empty, an empty key or moment, a label that is none of the known ones.
public enum ContractInference {
    /// A column with fewer nulls than this is expected to stay mostly filled…
    static let filledShare = 0.1
    /// …which means that at most this share of a later file may lack a value.
    static let laterNullShareMax = 0.5

    /// The contract for files like the one that `profile` describes.
    ///
    /// - Parameters:
    ///   - key: the column that names the entity.
    ///   - moments: columns that hold the event or created time.
    ///   - label: the column with the label, whose values are then exactly `labelValues`.
    public static func contract(
        _ profile: Profile, key: String, moments: [String] = [], label: String? = nil, labelValues: [String] = []
    ) -> Contract {
        let rules = profile.columns.map { column -> ColumnRule in
            var rule = ColumnRule(name: column.name, type: column.type)
            if column.name == key || moments.contains(column.name) {
                rule.nullable = false
            } else if column.name == label {
                rule.values = labelValues
            } else {
                // A column of whole numbers may hold decimals next month; a key or label may not.
                if rule.type == .integer { rule.type = .number }
                let share = Double(column.nulls) / Double(max(1, profile.rows))
                if share < filledShare { rule.maxNullShare = laterNullShareMax }
            }
            return rule
        }
        return Contract(columns: rules)
    }
}
