"""Graphs of ONNX's layers beyond the most common; onnxruntime computes what they give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from golden_graphs import Graph, model_of, stored, value_info
from golden_operators import noise, run
from onnx import TensorProto, helper

CASES: list[tuple[str, dict[str, np.ndarray], Any]] = []


def case(name: str, op: str, opset: int, inputs: list[Any], outputs: int = 1,
         types: list[int] | None = None, **attributes: Any) -> None:
    """A graph of one node. Inputs are arrays (fed), ("const", array) or None (absent)."""
    graph, fed, names = Graph(), {}, []
    for i, value in enumerate(inputs):
        if value is None:
            names.append("")
        elif isinstance(value, tuple):
            names.append(graph.const(value[1], getattr(value[1], "dtype", None)))
        else:
            fed[f"x{i}"] = value
            names.append(f"x{i}")
    first = graph.add(op, names, outputs, **attributes)
    graph.outputs = [first] + [f"{first}_{i}" for i in range(1, outputs)]
    model = model_of(graph, fed, opset)
    for output, element in zip(model.graph.output, types or [], strict=False):
        output.type.tensor_type.elem_type = element
    CASES.append((f"{name}_{opset}", fed, model))


def codes(*shape: int, kind: Any = np.uint8, seed: int = 1) -> np.ndarray:
    limits = np.iinfo(kind)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, endpoint=True,
                                                dtype=kind)


def const(value: np.ndarray) -> tuple[str, np.ndarray]:
    return ("const", value)


def windows() -> None:
    cube, plane, line = noise(1, 4, 5, 4, 6), noise(2, 3, 7, 6), noise(2, 3, 20)
    case("Conv_3d", "Conv", 11, [cube, const(noise(4, 2, 2, 3, 2, seed=2)), const(noise(4))],
         group=2, strides=[2, 1, 1], pads=[1, 0, 1, 0, 1, 1], dilations=[1, 1, 2])
    case("Conv_1d_dilated", "Conv", 11, [line, const(noise(2, 3, 3, seed=2))], dilations=[8])
    for label, attributes in {
            "plain": {}, "strided": {"strides": [2, 3], "output_padding": [1, 2]},
            "pads": {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]},
            "shape": {"output_shape": [15, 12], "strides": [2, 2]},
            "same_upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
            "same_lower": {"auto_pad": "SAME_LOWER", "strides": [2, 2]}}.items():
        case(f"ConvTranspose_{label}", "ConvTranspose", 11,
             [plane, const(noise(3, 2, 3, 3, seed=2)), const(noise(2, seed=3))], **attributes)
    case("ConvTranspose_groups", "ConvTranspose", 11, [cube, const(noise(4, 3, 2, 2, 3, seed=2))],
         group=2, strides=[1, 2, 1])
    for op in ("MaxPool", "AveragePool", "LpPool"):
        opset = 22 if op == "LpPool" else 19
        case(f"{op}_3d", op, opset, [cube], kernel_shape=[2, 3, 2], strides=[1, 2, 2])
        case(f"{op}_1d", op, opset, [line], kernel_shape=[4], strides=[3], pads=[1, 2])
    case("AveragePool_dilated", "AveragePool", 19, [plane], kernel_shape=[2, 2], dilations=[2, 3])
    case("AveragePool_ceil", "AveragePool", 11, [plane], kernel_shape=[3, 3], strides=[2, 2],
         ceil_mode=1)
    case("AveragePool_same", "AveragePool", 11, [plane], kernel_shape=[3, 2], strides=[2, 2],
         auto_pad="SAME_LOWER")
    indices = {"outputs": 2, "types": [TensorProto.FLOAT, TensorProto.INT64]}
    case("MaxPool_indices", "MaxPool", 12, [plane], kernel_shape=[3, 2], strides=[2, 1],
         pads=[1, 0, 1, 1], **indices)
    case("MaxPool_columns", "MaxPool", 12, [plane], kernel_shape=[2, 2], storage_order=1, **indices)
    case("MaxPool_coded", "MaxPool", 12, [codes(1, 2, 5, 5, kind=np.int8)], kernel_shape=[2, 2],
         types=[TensorProto.INT8])
    case("LpPool_p1", "LpPool", 11, [plane], kernel_shape=[3, 2], p=1, auto_pad="SAME_UPPER")
    case("GlobalLpPool", "GlobalLpPool", 2 + 7, [plane], p=3)
    positions = np.array([[[[5, 2], [8, 15]]]], np.int64)
    case("MaxUnpool", "MaxUnpool", 11, [noise(1, 1, 2, 2), positions], kernel_shape=[2, 2],
         strides=[2, 2])


def normalizations() -> None:
    x = noise(2, 6, 3, 4)
    scale, bias = const(noise(6, seed=2)), const(noise(6, seed=3))
    case("InstanceNormalization", "InstanceNormalization", 6 + 1, [x, scale, bias], epsilon=0.01)
    case("LayerNormalization", "LayerNormalization", 17,
         [x, const(noise(3, 4, seed=2)), const(noise(3, 4, seed=3))], 3, axis=-2)
    case("GroupNormalization", "GroupNormalization", 21, [x, scale, bias], num_groups=3)
    case("LRN", "LRN", 13, [x], size=3, alpha=0.3, beta=0.6, bias=1.5)
    for p in (1, 2):
        case(f"LpNormalization_{p}", "LpNormalization", 7, [x], p=p, axis=1)
    case("MeanVarianceNormalization", "MeanVarianceNormalization", 13, [x])


def recurrent() -> None:
    steps, samples, width, units = 5, 3, 4, 2
    lengths = np.array([5, 2, 4], np.int32)
    for op, gates, names in (("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"]),
                             ("GRU", 3, ["Sigmoid", "Tanh"]), ("RNN", 1, ["Tanh"])):
        outputs = 3 if op == "LSTM" else 2
        for label, directions, attributes in [
                ("forward", 1, {}), ("reverse", 1, {"direction": "reverse"}),
                ("both", 2, {"direction": "bidirectional"}),
                ("functions", 1, {"activations": ["Sigmoid", "Elu", "Softsign"][-len(names):],
                                  "activation_alpha": [0.75]} if op != "RNN" else
                 {"activations": ["LeakyRelu"], "activation_alpha": [0.25]})]:
            x = noise(steps, samples, width)
            weights = [const(noise(directions, gates * units, width, seed=2, scale=0.6)),
                       const(noise(directions, gates * units, units, seed=3, scale=0.6))]
            plain = [x, *weights]
            full = [*plain, const(noise(directions, 2 * gates * units, seed=4)), lengths,
                    noise(directions, samples, units, seed=5)]
            if op == "LSTM":
                full += [noise(directions, samples, units, seed=6),
                         const(noise(directions, 3 * units, seed=7))]
            if op == "GRU" and label == "both":
                attributes["linear_before_reset"] = 1
            case(f"{op}_{label}", op, 14, plain, outputs, hidden_size=units, **attributes)
            case(f"{op}_{label}_full", op, 14, full, outputs, hidden_size=units, **attributes)


def quantized() -> None:
    scalar = lambda value, kind=np.float32: const(np.array(value, kind))  # noqa: E731
    x, w = codes(2, 3, 5, 5), codes(4, 3, 3, 3, kind=np.int8, seed=2)
    case("ConvInteger", "ConvInteger", 10, [x, const(codes(4, 3, 3, 3, seed=2)),
                                           scalar(7, np.uint8), scalar(120, np.uint8)],
         types=[TensorProto.INT32], pads=[1, 1, 1, 1], strides=[2, 2])
    case("MatMulInteger", "MatMulInteger", 10,
         [codes(3, 400), const(codes(400, 5, kind=np.int8, seed=2)), scalar(7, np.uint8),
          scalar(-3, np.int8)], types=[TensorProto.INT32])
    bias = np.random.default_rng(3).integers(-3000, 3000, 4).astype(np.int32)
    case("QLinearConv", "QLinearConv", 10,
         [x, scalar(0.02), scalar(128, np.uint8), const(w),
          const(np.linspace(0.001, 0.01, 4, dtype=np.float32)), const(np.zeros(4, np.int8)),
          scalar(0.03), scalar(120, np.uint8), const(bias)], types=[TensorProto.UINT8],
         pads=[1, 1, 1, 1])
    case("QLinearMatMul", "QLinearMatMul", 10,
         [codes(3, 20), scalar(0.02), scalar(100, np.uint8),
          const(codes(20, 5, kind=np.int8, seed=2)), scalar(0.01), scalar(3, np.int8),
          scalar(0.05), scalar(120, np.uint8)], types=[TensorProto.UINT8])
    case("DynamicQuantizeLinear", "DynamicQuantizeLinear", 11, [noise(3, 4)], 3,
         types=[TensorProto.UINT8, TensorProto.FLOAT, TensorProto.UINT8])
    case("DequantizeLinear_blocks", "DequantizeLinear", 21,
         [codes(6, 4, kind=np.int8), const(np.abs(noise(2, 4)) + 0.01),
          const(codes(2, 4, kind=np.int8, seed=3))], axis=0, block_size=3)
    case("DequantizeLinear_fed", "DequantizeLinear", 13,
         [codes(6, 4), np.abs(noise(4)) + 0.01, codes(4, seed=3)], axis=1)


def losses() -> None:
    scores = noise(3, 4, 2)
    targets = np.array([[0, 3], [2, 1], [1, 1]], np.int64)
    weights = const(np.abs(noise(4, seed=2)))
    for reduction in ("none", "sum", "mean"):
        case(f"NegativeLogLikelihoodLoss_{reduction}", "NegativeLogLikelihoodLoss", 13,
             [scores, targets, weights], reduction=reduction, ignore_index=1)
        case(f"SoftmaxCrossEntropyLoss_{reduction}", "SoftmaxCrossEntropyLoss", 13,
             [scores, targets], 2, reduction=reduction)


def sums() -> None:
    for label, equation, shapes in [
            ("product", "bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("trace", "ii->", [(4, 4)]),
            ("heads", "bshd,bthd->bhst", [(2, 3, 2, 4), (2, 5, 2, 4)]),
            ("ellipsis", "...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
            ("implied", "ba,cb", [(2, 3), (4, 2)]),
            ("three", "ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
            ("outer", "i,j->ij", [(2,), (3,)])]:
        case(f"Einsum_{label}", "Einsum", 12,
             [noise(*shape, seed=i) for i, shape in enumerate(shapes)], equation=equation)


def functions() -> None:
    """A model with functions of its own: one calls the other with its attribute."""
    opset = [helper.make_opsetid("", 17)]
    slope = helper.make_node("LeakyRelu", ["a"], ["b"])
    slope.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="steepness",
                                               type=onnx.AttributeProto.FLOAT))
    inner = helper.make_function("own", "Bent", ["a"], ["b"], [slope], opset, ["steepness"])
    call = helper.make_node("Bent", ["t"], ["r"], domain="own")
    call.attribute.append(onnx.AttributeProto(name="steepness", ref_attr_name="steepness",
                                              type=onnx.AttributeProto.FLOAT))
    outer = helper.make_function(
        "own", "Layer", ["x", "w"], ["r", "t"],
        [helper.make_node("MatMul", ["x", "w"], ["t"]), call],
        [*opset, helper.make_opsetid("own", 1)], ["steepness"])
    x, y = noise(2, 4), noise(4, 4, seed=2)
    nodes = [helper.make_node("Layer", ["x", "w"], ["a", "p"], domain="own", steepness=0.25),
             helper.make_node("Layer", ["a", "w"], ["b", "q"], domain="own", steepness=0.5),
             helper.make_node("Add", ["b", "p"], ["t"])]
    graph = helper.make_graph(nodes, "golden", [value_info("x", x), value_info("w", y)],
                              [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[*opset, helper.make_opsetid("own", 1)],
                              functions=[inner, outer], ir_version=9)
    CASES.append(("functions", {"x": x, "w": y}, model))


def arrays() -> dict[str, np.ndarray]:
    groups: list[Callable[[], None]] = [windows, normalizations, recurrent, quantized, losses, sums,
                                        functions]
    for group in groups:
        group()
    result: dict[str, np.ndarray] = {}
    for name, fed, model in CASES:
        try:
            result |= stored(name, model, fed, run(model, fed))
        except Exception as error:
            raise RuntimeError(f"case {name}") from error
    return result
