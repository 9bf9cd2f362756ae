import NauraRules

/// The files that let MLflow's Python clients open a package: named features in, one score a row out.
enum MLmodelFile {
    /// `MLmodel`: the python_function flavour and the signature of the features by name. No run, time or host in it,
    /// since the digest follows from the training alone.
    static func text(for signature: ModelSignature) -> String {
        let inputs = JSONValue.array(
            signature.inputs.map { input in
                .object([
                    "name": .text(input.name), "type": .text(input.type == .number ? "double" : "string"),
                    "required": .bool(true),
                ])
            })
        let outputs = JSONValue.array([
            .object(["name": .text("score"), "type": .text("double"), "required": .bool(true)])
        ])
        return """
            flavors:
              naura:
                encoder: encoder.json
                model: model.json
                reference: reference.json
                samples: samples.json
              python_function:
                code: code
                loader_module: naura_model
            mlflow_version: 2.9.0
            signature:
              inputs: \(quoted(inputs))
              outputs: \(quoted(outputs))
              params: null

            """
    }

    /// A YAML scalar in single quotes, the canonical JSON inside.
    private static func quoted(_ json: JSONValue) -> String {
        let text = String(decoding: json.canonicalBytes().dropLast(), as: UTF8.self)
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }

    static let requirements = """
        mlflow
        numpy
        pandas
        xgboost

        """

    /// `code/naura_model.py`: encodes named columns as ``FeatureEncoder`` does and asks XGBoost.
    static let loader = #"""
        """Opens a Naura model package for MLflow's python_function flavour."""

        import json
        import math
        import os

        import numpy
        import xgboost


        class NauraModel:
            """Scores data frames with named columns; a null is a missing value."""

            def __init__(self, path):
                with open(os.path.join(path, "encoder.json"), encoding="utf-8") as file:
                    self.columns = json.load(file)["columns"]
                self.booster = xgboost.Booster(params={"nthread": 1})
                self.booster.load_model(os.path.join(path, "model.json"))

            def encode(self, frame):
                blocks = []
                for column in self.columns:
                    values = list(frame[column["name"]])
                    if column["type"] == "number":
                        numbers = [math.nan if _is_null(value) else float(value) for value in values]
                        block = numpy.asarray(numbers, dtype=numpy.float64).astype(numpy.float32)
                        block[~numpy.isfinite(block)] = numpy.nan
                        blocks.append(block.reshape(-1, 1))
                    else:
                        categories = column["categories"]
                        slots = {category: slot for slot, category in enumerate(categories)}
                        block = numpy.zeros((len(values), len(categories)), dtype=numpy.float32)
                        for row, value in enumerate(values):
                            if value in slots:
                                block[row, slots[value]] = 1
                        blocks.append(block)
                return numpy.concatenate(blocks, axis=1)

            def predict(self, frame, params=None):
                matrix = xgboost.DMatrix(self.encode(frame), missing=numpy.nan)
                best = self.booster.attr("best_iteration")
                trees = (0, 0) if best is None else (0, int(best) + 1)
                return self.booster.predict(matrix, iteration_range=trees, validate_features=False)


        def _is_null(value):
            return value is None or (isinstance(value, float) and math.isnan(value))


        def _load_pyfunc(path):
            return NauraModel(path)

        """#
}
