"""What onnxruntime's optimiser and quantizers write, read back here and compared with it."""

import numpy as np
import onnx
import pytest
from conftest import model_of
from onnx import TensorProto, helper

import tandem

onnxruntime = pytest.importorskip("onnxruntime")
quantization = pytest.importorskip("onnxruntime.quantization")

FLOAT = TensorProto.FLOAT


def normal(*shape, seed=1, scale=0.5):
    return np.random.default_rng(seed).normal(0, scale, shape).astype("f4")


def options(level, path=None):
    chosen = onnxruntime.SessionOptions()
    chosen.log_severity_level = 4
    chosen.graph_optimization_level = level
    # Without VNNI its default saturates sums of pairs of products.
    chosen.add_session_config_entry("session.x64quantprecision", "1")
    if path is not None:
        chosen.optimized_model_filepath = str(path)
    return chosen


def optimised(model, folder):
    """The model as the optimiser saves it for any CPU."""
    path = folder / "optimised.onnx"
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(model.SerializeToString(), options(level, path))
    return onnx.load(path)


def assert_agrees(model, inputs, tolerance):
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options(level))
    outputs = tandem.load(model).run(inputs)
    for output, want in zip(session.get_outputs(), session.run(None, inputs), strict=True):
        got = outputs[output.name]
        assert got.dtype == want.dtype and got.shape == want.shape
        assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def operators_of(model):
    return {node.op_type for node in model.graph.node}


def convolutions():
    """Two convolutions, the second added to the first's result, a pooling and a layer."""
    nodes = [helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
             helper.make_node("Relu", ["c1"], ["r1"]),
             helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
             helper.make_node("Add", ["c2", "r1"], ["a"]),
             helper.make_node("Relu", ["a"], ["r2"]),
             helper.make_node("GlobalAveragePool", ["r2"], ["p"]),
             helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Gemm", ["f", "w3", "b3"], ["y"])]
    return model_of(nodes, [("x", FLOAT, [1, 3, 8, 8])], [("y", FLOAT, [1, 5])],
                    [("w1", normal(8, 3, 3, 3)), ("b1", normal(8)),
                     ("w2", normal(8, 8, 3, 3, seed=2, scale=0.1)), ("b2", normal(8, seed=3)),
                     ("w3", normal(8, 5, seed=4)), ("b3", normal(5, seed=5))])


def perceptron():
    """A block of a transformer without its attention: Gelu written with Erf, and a skip."""
    half, one, root = (np.float32(v) for v in (0.5, 1, np.sqrt(2)))
    nodes = [helper.make_node("MatMul", ["x", "w1"], ["m1"]),
             helper.make_node("Add", ["m1", "b1"], ["h"]),
             helper.make_node("Div", ["h", "root"], ["d"]),
             helper.make_node("Erf", ["d"], ["e"]),
             helper.make_node("Add", ["e", "one"], ["o"]),
             helper.make_node("Mul", ["h", "o"], ["ho"]),
             helper.make_node("Mul", ["ho", "half"], ["g"]),
             helper.make_node("MatMul", ["g", "w2"], ["m2"]),
             helper.make_node("Add", ["m2", "b2"], ["s"]),
             helper.make_node("Add", ["s", "x"], ["t"]),
             helper.make_node("LayerNormalization", ["t", "gamma", "beta"], ["y"], axis=-1)]
    return model_of(nodes, [("x", FLOAT, ["N", 4, 8])], [("y", FLOAT, ["N", 4, 8])],
                    [("w1", normal(8, 16)), ("b1", normal(16)), ("w2", normal(16, 8, seed=2)),
                     ("b2", normal(8)), ("gamma", normal(8)), ("beta", normal(8, seed=3)),
                     ("half", half), ("one", one), ("root", root)])


def recurrent():
    nodes = [helper.make_node("LSTM", ["x", "w", "r", "b"], ["", "y"], hidden_size=6)]
    return model_of(nodes, [("x", FLOAT, [5, 1, 4])], [("y", FLOAT, [1, 1, 6])],
                    [("w", normal(1, 24, 4)), ("r", normal(1, 24, 6)), ("b", normal(1, 48))])


def test_fused_convolutions(tmp_path):
    model = optimised(convolutions(), tmp_path)
    assert "FusedConv" in operators_of(model)
    assert_agrees(model, {"x": normal(1, 3, 8, 8, seed=9)}, 1e-5)


def test_fused_block(tmp_path):
    model = optimised(perceptron(), tmp_path)
    assert {"BiasGelu", "SkipLayerNormalization"} <= operators_of(model)
    assert_agrees(model, {"x": normal(2, 4, 8, seed=9)}, 1e-5)


@pytest.mark.parametrize(("build", "operator"), [(perceptron, "DynamicQuantizeMatMul"),
                                                 (recurrent, "DynamicQuantizeLSTM")])
def test_dynamic_quantization(build, operator, tmp_path):
    model = build()
    quantization.quantize_dynamic(model, tmp_path / "dynamic.onnx",
                                  weight_type=quantization.QuantType.QInt8)
    model = optimised(onnx.load(tmp_path / "dynamic.onnx"), tmp_path)
    assert operator in operators_of(model)
    shape = [dim.dim_value or 2 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert_agrees(model, {"x": normal(*shape, seed=9)}, 1e-5)


class Samples(quantization.CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": normal(1, 3, 8, 8, seed=seed)} for seed in range(8)]

    def get_next(self):
        return self.left.pop() if self.left else None


@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_static_quantization(form, tmp_path):
    quantization.quantize_static(convolutions(), tmp_path / "static.onnx", Samples(),
                                 quant_format=quantization.QuantFormat[form])
    model = onnx.load(tmp_path / "static.onnx")
    if form == "QOperator":
        assert {"QLinearAdd", "QLinearGlobalAveragePool", "QGemm"} <= operators_of(model)
    # A code of the result may differ by one where onnxruntime multiplies by a rounded factor.
    assert_agrees(model, {"x": normal(1, 3, 8, 8, seed=9)}, 1e-2)
