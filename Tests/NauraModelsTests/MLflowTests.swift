import Foundation
import NauraModels
import Testing

/// Asks MLflow's own Python client. `NAURA_TEST_MLFLOW_PYTHON` names a Python that has mlflow, pandas and xgboost.
@Suite(
    .enabled(
        if: ProcessInfo.processInfo.environment["NAURA_TEST_MLFLOW_PYTHON"] != nil, "needs NAURA_TEST_MLFLOW_PYTHON"))
struct MLflowTests {
    private static let script = """
        import json, struct, sys
        import mlflow, numpy, pandas
        folder = sys.argv[1]
        model = mlflow.pyfunc.load_model(folder)
        samples = json.load(open(folder + "/samples.json"))
        frame = pandas.DataFrame(samples["rows"], columns=samples["columns"])
        for column in json.load(open(folder + "/encoder.json"))["columns"]:
            if column["type"] == "number":
                frame[column["name"]] = frame[column["name"]].astype(float)
        wanted = numpy.array([struct.unpack(">f", bytes.fromhex(bits))[0] for bits in samples["bits"]])
        difference = float(numpy.abs(numpy.asarray(model.predict(frame)) - wanted).max())
        print("inputs", len(model.metadata.signature.inputs.inputs), "difference", difference)
        sys.exit(0 if difference < 1e-6 else 1)
        """

    @Test("MLflow's client opens a package and answers its samples, named features in")
    func opens() async throws {
        let package = try await Sample.package()
        let folder = FileManager.default.temporaryDirectory.appending(path: "package-\(UUID().uuidString)")
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: folder) } }
        for file in package.files {
            let path = folder.appending(path: file.path)
            try FileManager.default.createDirectory(
                at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(file.bytes).write(to: path)
        }
        let python = try #require(ProcessInfo.processInfo.environment["NAURA_TEST_MLFLOW_PYTHON"])
        let process = Process()
        process.executableURL = URL(filePath: python)
        process.arguments = ["-c", Self.script, folder.path]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
