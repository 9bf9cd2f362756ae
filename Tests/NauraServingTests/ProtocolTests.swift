import Foundation
import NauraEvents
import NauraModels
import NauraRules
import NauraStore
import Synchronization
import Testing

@testable import NauraServing

/// A server with one champion, and what it answers.
private func serving<R: Sendable>(
    token: String? = nil, features: (any FeatureSource)? = nil,
    _ change: (inout ServingConfiguration) -> Void = { _ in },
    _ body: (TestClient, Gateway) async throws -> R
) async throws -> R {
    let folder = try TestFolder()
    let package = try await ServingSample.package()
    let champion = try ServingSample.store(package, version: 3, in: folder.artifacts)
    let gateway = try folder.gateway(features: features, token: token, change)
    await gateway.install([ServingSample.route(champion), ServingSample.route(nil, model: "unborn")])
    return try await withServer(gateway) { client in try await body(client, gateway) }
}

@Suite("KServe V1 over HTTP")
struct PredictProtocolTests {
    @Test("objects by feature name and arrays in order get the model's own scores, with version, arm and ids")
    func predicts() async throws {
        let model = try await ServingSample.package().served()
        try await serving { client, _ in
            let answer = try await client.predict(
                ServingSample.instance + #","#
                    + #"[12,null,20,1],{"charge":5,"tenure":null,"senior":true,"contract":"zzz"}"#)
            #expect(answer.status == 200)
            #expect(answer.headers["content-type"] == "application/json")
            let json = try answer.json()
            let expected = try [
                model.score([3, "One year", 70.5, 0]), model.score([12, nil, 20, 1]), model.score([nil, "zzz", 5, 1]),
            ]
            #expect((json["predictions"] as? [Double])?.map { Float($0) } == expected.map { Float($0) })
            #expect(json["model_name"] as? String == "churn")
            #expect(json["model_version"] as? String == "3")
            #expect(json["arm"] as? String == "champion")
            let ids = try #require(json["prediction_ids"] as? [String])
            let id = try #require(answer.headers["x-naura-prediction-id"])
            #expect(ids == ["\(id).0", "\(id).1", "\(id).2"])
            #expect(answer.headers["x-naura-version"] == "3")
            #expect(answer.headers["x-naura-arm"] == "champion")
            let single = try await client.predict(ServingSample.instance)
            #expect(try single.json()["prediction_ids"] as? [String] == [single.headers["x-naura-prediction-id"] ?? ""])
            #expect(try await client.predict("").json()["predictions"] as? [Double] == [])
        }
    }

    @Test("a body without Content-Type, with other fields beside the instances, and white space everywhere is read")
    func tolerant() async throws {
        try await serving { client, _ in
            let body =
                " {\n\"signature_name\" : \"x\",\t\"instances\" : [ \(ServingSample.instance) ] , \"parameters\":{\"a\":[1]}}\r\n"
            var statuses: [Int] = []
            for path in [
                "/v1/models/churn:predict", "/v1/models/churn/versions/3:predict",
                "/v1/models/churn/versions/4:predict",
                "/v1/models/churn:predict?trace=1", "/v1/models/c%68urn:predict",
            ] {
                statuses.append(try await client.post(path, body).status)
            }
            #expect(statuses == [200, 200, 404, 200, 200])
        }
    }

    @Test(
        "what is wrong with a body is a 400 that says what",
        arguments: [
            ("", "ends too early"), ("{", "ends too early"), ("nonsense", "expected an object"),
            ("[]", "expected an object"), ("{}", "instances is missing"), (#"{"instances":{}}"#, "is not a list"),
            (#"{"instances":[]} x"#, "something after the end"), (#"{"instances":[],"instances":[]}"#, "stands twice"),
            (#"{"instances":[{"tenure":NaN}]}"#, "no JSON"), (#"{"instances":[{}]}"#, "the column tenure is missing"),
            (#"{"instances":[{"tenure":1,"extra":2}]}"#, "no column extra"), (#"{"instances":[5]}"#, "neither"),
            (#"{"instances":[{"tenure":"x","contract":"a","charge":1,"senior":1}]}"#, "tenure is a number, found text"),
        ])
    func refuses(_ body: String, _ words: String) async throws {
        try await serving { client, _ in
            let answer = try await client.post("/v1/models/churn:predict", body)
            #expect(answer.status == 400)
            #expect(answer.error?.contains(words) == true, "\(answer.body)")
        }
    }

    @Test("unknown is 404, not loaded 503 with Retry-After, a wrong method 405 with Allow, too long 413")
    func statuses() async throws {
        try await serving { client, _ in
            let body = #"{"instances":[]}"#
            #expect(try await client.post("/v1/models/nobody:predict", body).status == 404)
            #expect(try await client.post("/v1/elsewhere", body).status == 404)
            let unborn = try await client.post("/v1/models/unborn:predict", body)
            #expect(unborn.status == 503)
            #expect(unborn.headers["retry-after"] == "5")
            let get = try await client.send("GET", "/v1/models/churn:predict")
            #expect(get.status == 405)
            #expect(get.headers["allow"] == "POST")
            let long = try await client.post(
                "/v1/models/churn:predict", #"{"x":"\#(String(repeating: "a", count: 1 << 20))"}"#)
            #expect(long.status == 413)
            #expect(long.error?.contains("1048576") == true)
            let packed = try await client.post("/v1/models/churn:predict", body, headers: ["content-encoding": "gzip"])
            #expect(packed.status == 415)
        }
    }

    @Test("the list of models, and a model's state for KServe and TensorFlow Serving clients")
    func lists() async throws {
        try await serving { client, _ in
            #expect(try await client.send("GET", "/").json()["status"] as? String == "alive")
            #expect(try await client.send("GET", "/v1/models").json()["models"] as? [String] == ["churn", "unborn"])
            let state = try await client.send("GET", "/v1/models/churn").json()
            #expect(state["ready"] as? Bool == true)
            let status = try #require(state["model_version_status"] as? [[String: Any]])
            #expect(status.first?["state"] as? String == "AVAILABLE")
            #expect(try await client.send("GET", "/v1/models/unborn").status == 503)
            #expect(try await client.send("GET", "/v1/models/nobody").status == 404)
        }
    }

    @Test("with a token every route but health wants it")
    func token() async throws {
        try await serving(token: "secret") { client, _ in
            let body = #"{"instances":[\#(ServingSample.instance)]}"#
            let bare = try await client.post("/v1/models/churn:predict", body)
            #expect(bare.status == 401)
            #expect(bare.headers["www-authenticate"] == "Bearer")
            #expect(try await client.send("GET", "/v2/models").status == 401)
            #expect(try await client.send("GET", "/nowhere").status == 401)
            let wrong = try await client.post(
                "/v1/models/churn:predict", body, headers: ["authorization": "Bearer secre"])
            #expect(wrong.status == 401)
            let right = try await client.post(
                "/v1/models/churn:predict", body, headers: ["authorization": "Bearer secret"])
            #expect(right.status == 200)
            #expect(try await client.send("GET", "/v2/health/live").status == 200)
        }
    }

    @Test("a gateway that is told to listen elsewhere without a token refuses to be made")
    func listens() throws {
        let folder = try TestFolder()
        #expect(throws: ServingError.self) { try folder.gateway { $0.host = "0.0.0.0" } }
        #expect(throws: Never.self) { try folder.gateway(token: "t") { $0.host = "0.0.0.0" } }
    }

    @Test("beyond the requests it may have in flight it answers 503 with Retry-After, and recovers")
    func overload() async throws {
        try await serving({ $0.inFlightMax = 2 }) { client, gateway in
            gateway.counters.inFlight.add(2, ordering: .relaxed)
            let refused = try await client.predict(ServingSample.instance)
            #expect(refused.status == 503)
            #expect(refused.headers["retry-after"] == "1")
            gateway.counters.inFlight.subtract(2, ordering: .relaxed)
            #expect(try await client.predict(ServingSample.instance).status == 200)
            #expect(gateway.measurements.overloads == 1)
            #expect(gateway.measurements.inFlight == 0)
        }
    }
}

@Suite("The Open Inference Protocol v2 over HTTP")
struct InferProtocolTests {
    private let path = "/v2/models/churn/infer"

    private func body(_ extra: String = "", tenure: String = #""shape":[2],"datatype":"INT64","data":[3,12]"#) -> String
    {
        """
        {"id":"r1"\(extra),"inputs":[
        {"name":"tenure",\(tenure)},
        {"name":"contract","shape":[2,1],"datatype":"BYTES","data":[["One year"],["zzz"]]},
        {"name":"charge","shape":[2,1],"datatype":"FP32","data":[70.5,null]},
        {"name":"senior","shape":[2],"datatype":"BOOL","data":[false,true]}]}
        """
    }

    @Test("columns as tensors, flat or nested, get the model's own scores")
    func infers() async throws {
        let model = try await ServingSample.package().served()
        try await serving { client, _ in
            for path in [path, "/v2/models/churn/versions/3/infer"] {
                let answer = try await client.post(path, body(#","outputs":[{"name":"score"}]"#))
                #expect(answer.status == 200, "\(answer.body)")
                let json = try answer.json()
                #expect(json["model_name"] as? String == "churn")
                #expect(json["model_version"] as? String == "3")
                #expect(json["id"] as? String == "r1")
                let output = try #require((json["outputs"] as? [[String: Any]])?.first)
                #expect(output["name"] as? String == "score")
                #expect(output["datatype"] as? String == "FP32")
                #expect(output["shape"] as? [Int] == [2])
                let expected = try [model.score([3, "One year", 70.5, 0]), model.score([12, "zzz", nil, 1])]
                #expect((output["data"] as? [Double])?.map { Float($0) } == expected.map { Float($0) })
                #expect(answer.headers["x-naura-arm"] == "champion")
            }
        }
    }

    @Test(
        "shapes and data that do not fit are a 400 with `error`, never a 500",
        arguments: [
            (#""shape":[3],"datatype":"INT64","data":[3,12]"#, "not one column of 3 rows"),
            (#""shape":[2],"datatype":"INT64","data":[3,12,1]"#, "more values"),
            (#""shape":[-2],"datatype":"INT64","data":[3,12]"#, "no size"),
            (#""shape":[4611686018427387904,8],"datatype":"INT64","data":[]"#, "shape"),
            (#""shape":[9007199254740992,9007199254740992],"datatype":"INT64","data":[]"#, "beyond"),
            (#""shape":[2.5],"datatype":"INT64","data":[3,12]"#, "no size"),
            (#""shape":2,"datatype":"INT64","data":[3,12]"#, "shape is not a list"),
            (#""shape":[],"datatype":"INT64","data":[3]"#, "column"),
            (#""shape":[1,2],"datatype":"INT64","data":[[3],[12]]"#, "ragged"),
            (#""shape":[2,1],"datatype":"INT64","data":[[3],[12,1]]"#, "more values"),
            (#""shape":[2,1],"datatype":"INT64","data":[[3],12]"#, "ragged"),
            (#""shape":[2],"datatype":"INT64","data":[3,1.5]"#, "fraction"),
            (#""shape":[2],"datatype":"UINT8","data":[3,256]"#, "range"),
            (#""shape":[2],"datatype":"INT64","data":["3","4"]"#, "another kind"),
            (#""shape":[2],"datatype":"FP16","data":[3,4]"#, "datatype"),
            (#""shape":[2],"datatype":"WORDS","data":[3,4]"#, "datatype"),
            (#""shape":[2],"datatype":"BYTES","data":["3","4"]"#, "tenure is a number"),
            (#""shape":[2],"datatype":"INT64""#, "no data"),
            (#""shape":[2],"datatype":"INT64","parameters":{"binary_data_size":16}"#, "no data"),
            (#""datatype":"INT64","data":[3,4]"#, "no shape"),
        ])
    func refusesShapes(_ tenure: String, _ words: String) async throws {
        try await serving { client, _ in
            let answer = try await client.post(path, body(tenure: tenure))
            #expect(answer.status == 400)
            #expect(answer.error?.contains(words) == true, "\(answer.body)")
        }
    }

    @Test(
        "missing, unknown and repeated inputs and outputs are named",
        arguments: [
            (#"{}"#, "inputs is missing"), (#"{"inputs":[]}"#, "inputs is empty"),
            (#"{"inputs":[{"name":"tenure","shape":[1],"datatype":"FP64","data":[1]}]}"#, "contract is missing"),
            (#"{"inputs":[{"name":"other","shape":[1],"datatype":"FP64","data":[1]}]}"#, "no input other"),
            (#"{"inputs":[{"name":"tenure"}]}"#, "no datatype"), (#"{"inputs":[7]}"#, "not an object"),
            (#"{"outputs":[{"name":"x"}],"inputs":[]}"#, "one output"), (#"{"id":7,"inputs":[]}"#, "id is not text"),
        ])
    func refusesNames(_ body: String, _ words: String) async throws {
        try await serving { client, _ in
            let answer = try await client.post(path, body)
            #expect(answer.status == 400)
            #expect(answer.error?.contains(words) == true, "\(answer.body)")
        }
    }

    @Test("health, metadata and readiness answer as the protocol says")
    func metadata() async throws {
        try await serving { client, gateway in
            #expect(try await client.send("GET", "/v2/health/live").status == 200)
            // `unborn` has no version yet: there is nothing that could be ready.
            #expect(try await client.send("GET", "/v2/health/ready").status == 200)
            let server = try await client.send("GET", "/v2").json()
            #expect(server["name"] as? String == "naura")
            #expect(server["extensions"] as? [String] == ["model_repository"])
            let model = try await client.send("GET", "/v2/models/churn").json()
            #expect(model["versions"] as? [String] == ["3"])
            let inputs = try #require(model["inputs"] as? [[String: Any]])
            #expect(inputs.compactMap { $0["name"] as? String } == ["tenure", "contract", "charge", "senior"])
            #expect(inputs.compactMap { $0["datatype"] as? String } == ["FP64", "BYTES", "FP64", "FP64"])
            #expect(inputs.compactMap { $0["shape"] as? [Int] } == [[-1], [-1], [-1], [-1]])
            #expect(try await client.send("GET", "/v2/models/churn/ready").status == 200)
            #expect(try await client.send("GET", "/v2/models/churn/versions/3/ready").status == 200)
            #expect(try await client.send("GET", "/v2/models/churn/versions/9/ready").status == 404)
            #expect(try await client.send("GET", "/v2/models/unborn/ready").status == 503)
            #expect(try await client.send("GET", "/v2/models/nobody/ready").status == 404)
            #expect(try await client.send("GET", "/v2/models/nobody").status == 404)
            #expect(try await client.send("GET", path).status == 405)
            #expect(try await client.send("DELETE", "/v2/models/churn").status == 405)
            let index = try await client.post("/v2/repository/index", "{}")
            #expect(index.body.contains(#"{"name":"churn","version":"3","state":"READY","reason":""}"#))
            let champion = try #require(gateway.current.routes["churn"]?.route)
            let missing = RoutedVersion(
                version: 9, digest: String(repeating: "0", count: 64), artifact: String(repeating: "0", count: 64))
            await gateway.install([champion, ServingSample.route(missing, model: "lost")])
            #expect(try await client.send("GET", "/v2/health/ready").status == 503)
            await gateway.install([champion])
            #expect(try await client.send("GET", "/v2/health/ready").status == 200)
            gateway.drain()
            #expect(try await client.send("GET", "/v2/health/ready").status == 503)
        }
    }
}

@Suite("Predictions by key over HTTP")
struct KeyedPredictTests {
    private func row(_ ago: TimeInterval = 0) -> OnlineRow {
        OnlineRow(viewID: 7, eventAt: Date(timeIntervalSinceNow: -ago), numbers: [3, 70.5, 0], texts: ["One year"])
    }

    @Test("the features of a known entity come from the online store, and past their ttl count as null")
    func predicts() async throws {
        let model = try await ServingSample.package().served()
        let features = FixedFeatures(rows: ["0001": [row()], "42": [row(7_200)]])
        try await serving(features: features) { client, _ in
            for body in [#"{"customerid":"0001"}"#, #"{"key":"0001"}"#] {
                let answer = try await client.post("/predict/churn", body)
                #expect(answer.status == 200)
                let json = try answer.json()
                let expected = try model.score([3, "One year", 70.5, 0])
                #expect((json["prediction"] as? Double).map { Float($0) } == Float(expected))
                #expect(json["prediction_id"] as? String == answer.headers["x-naura-prediction-id"])
                #expect(json["model_version"] as? String == "3")
            }
            let stale = try await client.post("/predict/churn", #"{"customerid":42}"#).json()
            let nothing = try model.score([nil, nil, nil, nil])
            #expect((stale["prediction"] as? Double).map { Float($0) } == Float(nothing))
        }
    }

    @Test("an unknown entity is 404, a body without a key 400, a store that does not answer 503 with Retry-After")
    func refuses() async throws {
        try await serving(features: FixedFeatures()) { client, _ in
            #expect(try await client.post("/predict/churn", #"{"customerid":"7"}"#).status == 404)
            #expect(try await client.post("/predict/nobody", #"{"customerid":"7"}"#).status == 404)
            #expect(try await client.post("/predict/unborn", #"{"customerid":"7"}"#).status == 503)
            for body in [
                "{}", "[]", "x", #"{"customer":"7"}"#, #"{"customerid":null}"#, #"{"key":"1","customerid":"2"}"#,
            ] {
                let answer = try await client.post("/predict/churn", body)
                #expect(answer.status == 400, "\(body): \(answer.body)")
                #expect(answer.error != nil)
            }
        }
        try await serving(features: FixedFeatures(isAway: true)) { client, _ in
            let answer = try await client.post("/predict/churn", #"{"customerid":"7"}"#)
            #expect(answer.status == 503)
            #expect(answer.headers["retry-after"] == "1")
        }
    }
}
