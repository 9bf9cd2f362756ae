import NauraRules

// The form of reference.json and encoder.json.
extension Reference {
    /// A reference read from `reference.json`.
    init(parsing bytes: [UInt8]) throws(ModelFault) {
        let file = try JSONValue(parsing: bytes, of: "reference.json")
        var columns: [Column] = []
        for column in try file.array("columns") { columns.append(try Column(column)) }
        self.init(columns: columns, scores: try Column(try file.member("scores")))
    }

    /// The bytes of `reference.json`.
    var canonicalBytes: [UInt8] {
        JSONValue.object(["columns": .array(columns.map(\.json)), "scores": scores.json]).canonicalBytes()
    }
}

extension Reference.Column {
    fileprivate init(_ json: JSONValue) throws(ModelFault) {
        let name = try json.text("name")
        let bins: Reference.Bins
        switch try json.text("kind") {
        case "edges": bins = .edges(try json.numbers("bins"))
        case "values": bins = .values(try json.numbers("bins"))
        case "categories": bins = .categories(try json.texts("bins"))
        case let kind: throw ModelFault(.malformed, "reference.json: the bins of \(name) are of the kind `\(kind)`")
        }
        var counts: [Int] = []
        for count in try json.numbers("counts") { counts.append(Int(count)) }
        guard counts.count == Self.count(bins) else {
            throw ModelFault(
                .malformed, "reference.json: \(name) has \(counts.count) counts for \(Self.count(bins)) bins")
        }
        self.init(name: name, type: try json.featureType("type"), bins: bins, counts: counts)
    }

    fileprivate var json: JSONValue {
        var members: [String: JSONValue] = [
            "name": .text(name), "type": .text(type.rawValue), "counts": .array(counts.map { .number(Double($0)) }),
        ]
        switch bins {
        case .edges(let edges):
            members["kind"] = .text("edges")
            members["bins"] = .array(edges.map(JSONValue.number))
        case .values(let values):
            members["kind"] = .text("values")
            members["bins"] = .array(values.map(JSONValue.number))
        case .categories(let categories):
            members["kind"] = .text("categories")
            members["bins"] = .array(categories.map(JSONValue.text))
        }
        return .object(members)
    }
}

extension FeatureEncoder {
    /// An encoder read from `encoder.json`.
    init(parsing bytes: [UInt8]) throws(ModelFault) {
        let file = try JSONValue(parsing: bytes, of: "encoder.json")
        var features: [(input: ModelInput, categories: [String])] = []
        for column in try file.array("columns") {
            let input = ModelInput(name: try column.text("name"), type: try column.featureType("type"))
            features.append((input, input.type == .text ? try column.texts("categories") : []))
        }
        try self.init(features)
    }

    /// The bytes of `encoder.json`.
    var canonicalBytes: [UInt8] {
        let columns = columns.map { column -> JSONValue in
            var members: [String: JSONValue] = [
                "name": .text(column.input.name), "type": .text(column.input.type.rawValue),
            ]
            if column.input.type == .text { members["categories"] = .array(column.categories.map(JSONValue.text)) }
            return .object(members)
        }
        return JSONValue.object(["columns": .array(columns)]).canonicalBytes()
    }
}

extension JSONValue {
    fileprivate func featureType(_ name: String) throws(ModelFault) -> FeatureType {
        let word = try text(name)
        guard let type = FeatureType(rawValue: word) else {
            throw ModelFault(.malformed, "the member `\(name)` is `\(word)`, expected number or text")
        }
        return type
    }
}
