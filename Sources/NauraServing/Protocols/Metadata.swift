import NauraModels
import NauraRules

/// What is served: health, the server, the models.
extension Gateway {
    /// Answers an endpoint that takes no body.
    func describe(_ endpoint: Endpoint) throws(Refusal) -> Answer {
        switch endpoint {
        case .alive: return .json { $0.append("{\"status\":\"alive\"}") }
        case .live: return .json { $0.append("{\"live\":true}") }
        case .ready: return Self.readiness(isReady)
        case .server:
            return .json { $0.append("{\"name\":\"naura\",\"version\":\"1\",\"extensions\":[\"model_repository\"]}") }
        case .modelsV1, .modelsV2:
            let names = current.names
            return .json { bytes in
                bytes.append("{\"models\":[")
                bytes.appendList(names) { $0.appendJSON($1) }
                bytes.append("]}")
            }
        case .modelV1(let name): return Self.stateV1(try route(name))
        case .model(let name, let version): return Self.metadata(try route(name), try pinned(name, version))
        case .modelReady(let name, let version):
            let route = try route(name)
            return Self.readiness(try pinned(name, version) != nil || route.isReady, name: name)
        case .repositoryIndex: return repositoryIndex()
        case .predict, .infer, .predictByKey: throw .unknownPath
        }
    }

    /// The route of the model `name`.
    func route(_ name: String) throws(Refusal) -> ModelRoute {
        guard let route = current.routes[name] else { throw .unknown(model: name) }
        return route
    }

    /// The loaded version that a path names; nil when it names none.
    func pinned(_ name: String, _ version: String?) throws(Refusal) -> LoadedArm? {
        guard let version else { return nil }
        guard let arm = try route(name).arm(version: version) else {
            throw Refusal(404, "the model \(name) has no version \(version) that is served")
        }
        return arm
    }

    private static func readiness(_ isReady: Bool, name: String? = nil) -> Answer {
        var answer = Answer.json { bytes in
            bytes.append(0x7B)
            if let name {
                bytes.append("\"name\":")
                bytes.appendJSON(name)
                bytes.append(0x2C)
            }
            bytes.append(isReady ? "\"ready\":true}" : "\"ready\":false}")
        }
        answer.status = isReady ? 200 : 503
        return answer
    }

    /// The union of what KServe's V1 and TensorFlow Serving answer here; each client reads its own keys.
    private static func stateV1(_ route: ModelRoute) -> Answer {
        let arms = [route.champion, route.canary].compactMap(\.self)
        var answer = Answer.json { bytes in
            bytes.append("{\"name\":")
            bytes.appendJSON(route.name)
            bytes.append(route.champion == nil ? ",\"ready\":false" : ",\"ready\":true")
            bytes.append(",\"model_version_status\":[")
            bytes.appendList(arms) { bytes, arm in
                bytes.append("{\"version\":")
                bytes.appendJSON(arm.versionText)
                bytes.append(",\"state\":\"AVAILABLE\",\"status\":{\"error_code\":\"OK\",\"error_message\":\"\"}}")
            }
            bytes.append("]}")
        }
        if route.champion == nil { answer.status = 503 }
        return answer
    }

    private static func metadata(_ route: ModelRoute, _ pinned: LoadedArm?) -> Answer {
        let arms = [route.champion, route.canary].compactMap(\.self)
        let inputs = (pinned ?? route.champion)?.model.signature.inputs ?? []
        return .json { bytes in
            bytes.append("{\"name\":")
            bytes.appendJSON(route.name)
            bytes.append(",\"versions\":[")
            bytes.appendList(arms) { $0.appendJSON($1.versionText) }
            bytes.append("],\"platform\":\"naura_trees\",\"inputs\":[")
            bytes.appendList(inputs) { bytes, input in
                bytes.append("{\"name\":")
                bytes.appendJSON(input.name)
                bytes.append(
                    input.type == .text
                        ? ",\"datatype\":\"BYTES\",\"shape\":[-1]}" : ",\"datatype\":\"FP64\",\"shape\":[-1]}")
            }
            bytes.append("],\"outputs\":[{\"name\":")
            bytes.appendJSON(outputName)
            bytes.append(",\"datatype\":\"FP32\",\"shape\":[-1]}]}")
        }
    }

    private func repositoryIndex() -> Answer {
        let table = current
        let routes = table.names.compactMap { table.routes[$0] }
        return .json { bytes in
            bytes.append(0x5B)
            bytes.appendList(routes) { bytes, route in
                bytes.append("{\"name\":")
                bytes.appendJSON(route.name)
                if let champion = route.champion {
                    bytes.append(",\"version\":")
                    bytes.appendJSON(champion.versionText)
                }
                bytes.append(route.champion == nil ? ",\"state\":\"UNAVAILABLE\"" : ",\"state\":\"READY\"")
                bytes.append(",\"reason\":")
                bytes.appendJSON(route.fault ?? "")
                bytes.append(0x7D)
            }
            bytes.append(0x5D)
        }
    }
}

extension [UInt8] {
    /// Appends elements with commas between them.
    fileprivate mutating func appendList<T>(_ elements: [T], _ append: (inout [UInt8], T) -> Void) {
        for (position, element) in elements.enumerated() {
            if position > 0 { self.append(0x2C) }
            append(&self, element)
        }
    }
}
