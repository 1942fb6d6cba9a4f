#!/usr/bin/env python3
"""Writes onnx_cases.txt: random cases of every real and movement operator, as ONNX means them.

Each case is module text whose constants hold the inputs and the expected outputs under the names
of the values. What is expected comes from PyPI onnx's reference evaluator, and the script stops
where onnxruntime disagrees. Run it with the packages onnx, onnxruntime and numpy; the result is
the same at every run.
"""
import pathlib

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from golden_case import (FORMATS, OPSET, case, cases, evaluate, indices, integer, number, random,
                         real, type_text)


def unary_cases():
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, 2.5, -0.5, -1.5],
                       dtype=np.float32)
    for op in ["Exp", "Erf", "Abs", "Neg", "Floor", "Ceil", "Round", "Sign", "Relu", "Sigmoid",
               "HardSwish", "Tanh", "Softplus", "LeakyRelu", "HardSigmoid", "Elu", "Identity"]:
        case(op, [real(3, 7, low=-6, high=6)])
        case(op, [special])
    case("Exp", [real(5, dtype=np.float64)])
    case("Reciprocal", [real(2, 5, low=0.1)])
    case("Log", [real(2, 5, low=0.001, high=30)])
    case("Sqrt", [real(2, 5, low=0, high=30)])
    case("LeakyRelu", [real(3, 7)], {"alpha": 0.25})
    case("HardSigmoid", [real(3, 7, low=-4, high=4)], {"alpha": 0.5, "beta": 0.25})
    case("Elu", [real(3, 7)], {"alpha": 0.5})
    case("Gelu", [real(3, 7, low=-4, high=4)])
    case("Gelu", [real(3, 7, low=-4, high=4)], {"approximate": "tanh"})
    case("PRelu", [real(2, 3, 4), real(3, 1)])
    case("PRelu", [real(2, 5), real(1)])
    low, high = np.float32(-0.5), np.float32(1)
    case("Clip", [real(3, 7), np.array(low), np.array(high)])
    case("Clip", [real(3, 7), None, np.array(high)])
    case("Clip", [real(3, 7), np.array(low)])


def size_cases():
    for start, limit, step in [(0, 5, 1), (3, 14, 4), (7, -2, -3), (2, 2, 1), (5, 1, 2)]:
        given = [(name, np.array(value)) for name, value in
                 zip(("start", "limit", "delta"), (start, limit, step))]
        case("Range", [], {}, {"bounds": [f"{{{start}}}", f"{{{limit}}}"], "step": step},
             extra=given)
    kept = np.round(real(3, 4))
    for x in [kept, kept != 0, real(0, 3)]:
        case("NonZero", [x], {}, {"selected": [f"{{{np.count_nonzero(x)}}}"]})
    corners = real(2, 6, 4, low=0, high=4)
    scores = real(2, 3, 6, low=0, high=1)
    for most, shared, least, centered in [(3, 0.3, None, 0), (2, 0.5, 0.4, 0), (6, 0.1, 0.2, 1)]:
        given = [("most", np.array([most])), ("overlap", np.array([shared], np.float32))]
        if least is not None:
            given.append(("least", np.array([least], np.float32)))
        arrays = [("x0", corners), ("x1", scores)]
        flags = {"center_point_box": centered}
        results = evaluate("NonMaxSuppression", arrays, given, flags, 1, judge="onnxruntime")
        case("NonMaxSuppression", [corners, scores], results=results, tandem_attributes=flags | {
            "selected": [f"{{{len(results[0])}}}"], "most": most, "overlap": float(shared),
            "least_score": [] if least is None else [float(np.float32(least))]})


def binary_cases():
    for op in ["Add", "Sub", "Mul", "Div", "Min", "Max"]:
        case(op, [real(2, 3, 4), real(2, 3, 4)])
        case(op, [real(2, 3, 4), real(3, 1, low=0.5)])
        case(op, [real(4, 1), real(1, 3)])
        case(op, [real(5), real()])
    nan = np.array([np.nan, 1, np.nan, np.inf, -np.inf], dtype=np.float32)
    for op in ["Min", "Max"]:
        case(op, [nan, real(5)])
    case("Pow", [real(2, 5, low=0.1), real(2, 5)])
    case("Pow", [real(2, 5), np.array(2, dtype=np.float32)])
    for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]:
        case(op, [np.round(real(3, 4)), np.round(real(3, 4))])
        case(op, [nan, real(5)])
        case(op, [integer(3, 4, low=0, high=3, dtype=np.int64),
                  integer(4, low=0, high=3, dtype=np.int64)])
    truth = integer(3, 4, low=0, high=1).astype(bool)
    case("Where", [truth, real(3, 4), real(4)])
    case("Where", [truth, integer(3, 4, dtype=np.uint8) & 127, integer(1, 1, dtype=np.uint8)])


def linear_cases():
    case("Conv", [real(2, 3, 6, 5), real(4, 3, 3, 2)])
    case("Conv", [real(1, 3, 7, 6), real(4, 3, 3, 3), real(4)],
         {"pads": [1, 0, 2, 1], "strides": [2, 1]})
    case("Conv", [real(1, 4, 5, 5), real(4, 1, 3, 3), real(4)], {"group": 4, "pads": [1, 1, 1, 1]})
    case("Conv", [real(1, 4, 7, 7), real(6, 2, 3, 3)], {"group": 2, "dilations": [2, 2]})
    case("Conv", [real(1, 2, 6, 6), real(4, 1, 2, 2)], {"group": 2, "strides": [2, 2]})
    case("Conv", [real(2, 3, 9), real(4, 3, 3), real(4)], {"pads": [2, 1], "dilations": [2]})
    case("Conv", [real(1, 5, 4, 4), real(3, 5, 1, 1)])
    case("MatMul", [real(3, 5), real(5, 4)])
    case("MatMul", [real(2, 3, 5), real(2, 5, 4)])
    case("MatMul", [real(2, 1, 3, 5), real(3, 5, 2)])
    case("MatMul", [real(5), real(2, 5, 4)])
    case("MatMul", [real(2, 3, 5), real(5)])
    case("MatMul", [real(5), real(5)])
    case("MatMul", [real(2, 3, 20), real(20, 3)])
    case("Gemm", [real(3, 5), real(5, 4), real(4)])
    case("Gemm", [real(5, 3), real(4, 5), real(3, 1)],
         {"transA": 1, "transB": 1, "alpha": 0.5, "beta": -2.0})
    case("Gemm", [real(3, 5), real(4, 5)], {"transB": 1})
    case("BatchNormalization", [real(2, 3, 4), real(3), real(3), real(3), real(3, low=0.1)])
    case("BatchNormalization", [real(2, 3, 2, 2), real(3), real(3), real(3), real(3, low=0)],
         {"epsilon": 0.01})
    case("BatchNormalization", [real(4, 3), real(3), real(3), real(3), real(3, low=0.5)])


def pooling_cases():
    shapes = [((1, 2, 6, 6), {"kernel_shape": [2, 2], "strides": [2, 2]}),
              ((1, 2, 7, 6), {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
              ((1, 1, 6, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
              ((1, 1, 5, 5), {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [1, 1, 1, 1],
                              "ceil_mode": 1}),
              ((2, 2, 9), {"kernel_shape": [3], "dilations": [2], "pads": [1, 2]}),
              ((1, 1, 4, 4), {"kernel_shape": [1, 1], "strides": [2, 2], "ceil_mode": 1})]
    for op in ["MaxPool", "AveragePool"]:
        for shape, onnx_attributes in shapes:
            variants = [{}]
            if op == "AveragePool":
                variants.append({"count_include_pad": 1})
            for variant in variants:
                both = onnx_attributes | variant
                mine = {("kernel" if key == "kernel_shape" else key): value
                        for key, value in both.items()}
                case(op, [real(*shape)], both, mine)
    case("GlobalAveragePool", [real(2, 3, 4, 5)])
    case("GlobalAveragePool", [real(2, 3, 7)])
    case("GlobalMaxPool", [real(2, 3, 4, 5)])


def reduction_cases():
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"]:
        for axes, keepdims in [([1], 1), ([-1, 0], 0), ([1, 2], 1), (None, 0)]:
            attributes = {"keepdims": keepdims}
            extra = [] if axes is None else [("axes", indices(*axes))]
            case(op, [real(2, 3, 4)], attributes, attributes | ({"axes": axes} if axes else {}),
                 extra=extra)
    case("Softmax", [real(3, 10)])
    case("Softmax", [real(2, 3, 4, low=-50, high=50)], {"axis": 1})
    case("Softmax", [real(3, 2)], {"axis": 0})
    case("LogSoftmax", [real(3, 10)])
    case("LogSoftmax", [real(2, 3, 4, low=-50, high=50)], {"axis": 1})
    tied = np.round(real(3, 8))
    case("ArgMax", [tied], {"axis": 1, "keepdims": 0})
    case("ArgMax", [tied], {"axis": -1, "select_last_index": 1})
    case("ArgMax", [real(2, 3, 4)], {"axis": 1})
    case("ArgMax", [real(3, 4)])
    for k, axis, largest in [(3, -1, 1), (2, 0, 0), (1, 1, 1)]:
        case("TopK", [real(4, 5, 3)], {"axis": axis, "largest": largest},
             {"axis": axis, "largest": largest, "k": k}, extra=[("k", indices(k))], outputs=2)


def movement_cases():
    case("Reshape", [real(2, 3, 4)], {}, {"shape": ["d0", "-1"]}, extra=[("s", indices(0, -1))])
    case("Reshape", [integer(2, 6)], {}, {"shape": ["3", "4"]}, extra=[("s", indices(3, 4))])
    case("Expand", [real(3, 1)], {}, {"shape": ["2", "3", "4"]}, extra=[("s", indices(2, 3, 4))])
    case("Expand", [integer(1, 4)], {}, {"shape": ["3", "4"]}, extra=[("s", indices(3, 4))])
    case("Tile", [real(2, 3)], {}, {"repeats": [2, 3]}, extra=[("r", indices(2, 3))])
    case("Tile", [integer(2, 1, 2)], {}, {"repeats": [1, 3, 2]}, extra=[("r", indices(1, 3, 2))])
    case("Transpose", [real(2, 3, 4)], {"perm": [1, 2, 0]})
    case("Transpose", [integer(2, 3, 2, 2)], {"perm": [0, 2, 3, 1]})
    case("Transpose", [real(2, 3, 4)])
    case("Concat", [real(2, 3), real(2, 1), real(2, 2)], {"axis": -1})
    case("Concat", [integer(1, 3), integer(2, 3)], {"axis": 0})
    far = np.iinfo(np.int64).max
    for starts, ends, axes, steps in [
            ([1], [-1], [1], None), ([0, -1], [far, -far], [0, 1], [2, -2]),
            ([5], [0], [2], [-3]), ([-3, 1], [far, 3], [2, 0], None), ([-9], [9], [1], [1])]:
        attributes = {"starts": starts, "ends": ends, "axes": axes}
        extra = [("s", indices(*starts)), ("e", indices(*ends)), ("a", indices(*axes))]
        if steps:
            attributes["steps"] = steps
            extra.append(("t", indices(*steps)))
        case("Slice", [real(3, 4, 6)], {}, attributes, extra=extra)
    case("Slice", [integer(7)], {}, {"starts": [-1], "ends": [-far], "axes": [0], "steps": [-2]},
         extra=[("s", indices(-1)), ("e", indices(-far)), ("a", indices(0)), ("t", indices(-2))])
    case("Split", [real(2, 6)], {"axis": 1}, {"axis": 1, "sizes": [1, 3, 2]},
         extra=[("s", indices(1, 3, 2))], outputs=3)
    case("Split", [integer(4, 2)], {"axis": 0}, {"axis": 0, "sizes": [2, 2]},
         extra=[("s", indices(2, 2))], outputs=2)
    for mode in ["DCR", "CRD"]:
        case("DepthToSpace", [real(1, 8, 2, 3)], {"blocksize": 2, "mode": mode})
    case("SpaceToDepth", [real(1, 2, 4, 6)], {"blocksize": 2})
    padding_cases()
    case("Gather", [real(4, 3), indices(3, -1, 0)])
    case("Gather", [integer(2, 5), indices(1, 1, -2, 4).reshape(2, 2)], {"axis": 1})
    case("Gather", [real(3, 2), np.array(2, dtype=np.int64)])
    case("Shape", [real(2, 3, 1)])
    cast_cases()


def padding_cases():
    pads = [1, 0, 2, 1]
    case("Pad", [real(3, 4)], {}, {"pads": pads, "value": -1.5},
         extra=[("p", indices(*pads)), ("v", np.array(-1.5, dtype=np.float32))])
    case("Pad", [integer(3, 4)], {}, {"pads": pads, "value": -7},
         extra=[("p", indices(*pads)), ("v", np.array(-7, dtype=np.int8))])
    for mode in ["edge", "reflect"]:
        pads = [2, 1, 0, 3]
        case("Pad", [real(3, 4)], {"mode": mode}, {"mode": mode, "pads": pads},
             extra=[("p", indices(*pads))])


def cast_cases():
    for array, to in [(real(2, 5, low=-9, high=9), TensorProto.INT32),
                      (real(2, 5, low=-9, high=9), TensorProto.DOUBLE),
                      (np.round(real(2, 5)), TensorProto.BOOL),
                      (integer(2, 5, dtype=np.int64), TensorProto.FLOAT),
                      (integer(2, 5, low=0, high=1).astype(bool), TensorProto.FLOAT)]:
        format_name = FORMATS[str(helper.tensor_dtype_to_np_dtype(to))]
        case("Cast", [array], {"to": to}, {"to": format_name})


def layer_cases():
    case("Conv", [real(1, 4, 4, 5, 3), real(4, 2, 2, 3, 2), real(4)],
         {"group": 2, "strides": [1, 2, 1], "pads": [1, 0, 0, 0, 1, 1]})
    case("AveragePool", [real(1, 2, 4, 5, 4)], {"kernel_shape": [2, 3, 2], "strides": [2, 2, 1]},
         {"kernel": [2, 3, 2], "strides": [2, 2, 1]})
    case("MaxPool", [real(1, 2, 4, 5, 4)], {"kernel_shape": [2, 3, 2], "pads": [1] * 6},
         {"kernel": [2, 3, 2], "pads": [1] * 6}, judge="onnxruntime")
    case("ConvTranspose", [real(1, 2, 4, 3), real(2, 3, 3, 3), real(3)],
         {"strides": [2, 2], "pads": [1, 0, 1, 2], "output_padding": [1, 0]})
    case("ConvTranspose", [real(2, 4, 5), real(4, 2, 3)], {"group": 2, "dilations": [2]},
         judge="onnxruntime")
    case("ConvTranspose", [real(1, 2, 2, 3, 2), real(2, 1, 2, 2, 3)], {"strides": [2, 1, 3]})
    case("DeformConv", [real(1, 4, 5, 4), real(2, 2, 3, 2), real(1, 24, 3, 3), real(2),
                        real(1, 12, 3, 3)],
         {"group": 2, "offset_group": 2, "strides": [2, 1], "pads": [1, 0, 1, 0]},
         judge="reference")
    case("LpPool", [real(2, 3, 6, 5)], {"kernel_shape": [3, 2], "strides": [2, 1], "p": 3},
         {"kernel": [3, 2], "strides": [2, 1], "p": 3})
    for attributes in [{"kernel_shape": [2, 2], "strides": [2, 2]},
                       {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1],
                        "storage_order": 1}]:
        mine = {("kernel" if key == "kernel_shape" else key): value
                for key, value in attributes.items()}
        case("MaxPool", [np.round(real(2, 2, 6, 5))], attributes, mine, outputs=2, kept=[1],
             tandem="MaxPoolIndices")
    positions = np.array([[[[5, 2], [8, 15]]]], dtype=np.int64)
    case("MaxUnpool", [real(1, 1, 2, 2), positions], {"kernel_shape": [2, 2], "strides": [2, 2]},
         {"extents": [4, 4]})
    case("Einsum", [real(2, 3, 4), real(2, 4, 5)], {"equation": "bij,bjk->bki"})
    case("Einsum", [real(3, 2, 4, 4)], {"equation": "...ii->..."})
    case("Einsum", [real(2, 3), real(3, 4), real(4)], {"equation": "ij, jk, k"})
    case("Einsum", [real(2, 1, 3), real(5, 3)], {"equation": "...i,...i"}, judge="reference")
    case("Einsum", [real(2, 3, 3), real(4)], {"equation": "aii,b->iab"})
    case("LayerNormalization", [real(2, 3, 4), real(3, 4), real(3, 4)], {"axis": 1},
         {"axis": 1, "statistics": 1}, outputs=3)
    case("LayerNormalization", [real(2, 3, 4), real(4)], {"epsilon": 0.5})
    case("RMSNormalization", [real(2, 3, 4), real(4)], {"epsilon": 0.5}, opset=23,
         judge="reference")
    case("RMSNormalization", [real(2, 3, 4), real(3, 1)], {"axis": -2}, opset=23,
         judge="reference")
    case("GroupNormalization", [real(2, 6, 3, 2), real(6), real(6)], {"num_groups": 3},
         judge="reference")
    case("InstanceNormalization", [real(2, 3, 4), real(3), real(3)], {"epsilon": 0.1},
         {"epsilon": 0.1, "num_groups": 3}, tandem="GroupNormalization")
    for size, judge in [(3, "both"), (4, "reference")]:
        case("LRN", [real(5, 5, 3, 2)], {"size": size, "alpha": 0.5, "beta": 0.6, "bias": 1.5},
             judge=judge)


def sequence_cases():
    masks = [None, real(3, 5), integer(2, 1, 3, 5, low=0, high=1).astype(bool)]
    for mask, causal in [(masks[0], 1), (masks[1], 0), (masks[2], 1)]:
        attributes = {"is_causal": causal, "softcap": 1.5}
        inputs = [real(2, 4, 3, 6), real(2, 2, 5, 6), real(2, 2, 5, 4)]
        case("Attention", inputs if mask is None else [*inputs, mask], attributes, outputs=3,
             opset=23, judge="reference")
    case("Attention", [real(1, 3, 8), real(1, 2, 4), real(1, 2, 6), None, real(1, 2, 4, 2),
                       real(1, 2, 4, 3)],
         {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1, "qk_matmul_output_mode": 3},
         {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1, "scores": "softmax"}, outputs=4,
         opset=23, judge="reference")
    case("RotaryEmbedding", [real(2, 3, 4, 6), real(2, 4, 3), real(2, 4, 3)], opset=23,
         judge="reference")
    case("RotaryEmbedding", [real(2, 4, 12), real(9, 2), real(9, 2),
                             integer(2, 4, low=0, high=8, dtype=np.int64)],
         {"num_heads": 2, "rotary_embedding_dim": 4, "interleaved": 1},
         {"num_heads": 2, "rotary_size": 4, "interleaved": 1}, opset=23, judge="reference")
    heads = {"q_num_heads": 4, "kv_num_heads": 2}
    packed = [real(2, 3, 8), real(2, 3, 4, low=-0.5, high=0.5), real(2, 3, 6)]
    case("LinearAttention", packed, heads | {"update_rule": "linear"}, outputs=2, opset=27,
         judge="reference")
    case("LinearAttention", [*packed, real(2, 2, 2, 3), real(2, 3, 4, high=0),
                             real(2, 3, 2, low=0, high=1)],
         heads | {"scale": 0.25}, outputs=2, opset=27, judge="reference")
    recurrent_cases()


def tree_case():
    """Two trees, of two nodes and of one."""
    x = real(6, 3)
    splits, weights = real(3), real(5)
    tensors = {"nodes_splits": splits, "nodes_modes": np.array([0, 3, 1], dtype=np.uint8),
               "leaf_weights": weights}
    ensemble = {"nodes_featureids": [0, 2, 1], "nodes_truenodeids": [1, 0, 3],
                "nodes_falsenodeids": [2, 1, 4], "nodes_trueleafs": [0, 1, 1],
                "nodes_falseleafs": [1, 1, 1], "leaf_targetids": [0, 1, 1, 0, 1],
                "tree_roots": [0, 2], "n_targets": 2}
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", aggregate_function=1, **ensemble,
        **{name: numpy_helper.from_array(array) for name, array in tensors.items()})
    graph = helper.make_graph([node], "case",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET),
                                                    helper.make_opsetid("ai.onnx.ml", 5)])
    mine = {"features": [0, 2, 1], "comparisons": [0, 3, 1], "if_true": [1, -1, -4],
            "if_false": [-3, -2, -5], "roots": [0, 2], "leaf_targets": [0, 1, 1, 0, 1],
            "targets": 2}
    case("TreeEnsemble", [x, splits, weights], tandem_attributes=mine,
         results=ReferenceEvaluator(model).run(None, {"x": x}))


def recurrent_cases():
    """onnxruntime alone knows lengths, limits and other functions."""
    lengths = np.array([4, 2, 3], dtype=np.int32)
    for op, gates, names in [("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"]),
                             ("GRU", 3, ["Sigmoid", "Tanh"]), ("RNN", 1, ["Tanh"])]:
        states = 3 if op == "LSTM" else 2

        def weights(directions, rows=2 * gates):
            return [real(directions, rows, 5), real(directions, rows, 2)]

        case(op, [real(4, 3, 5), *weights(1)], {"hidden_size": 2}, {}, outputs=states)
        full = [real(4, 3, 5), *weights(2), real(2, 4 * gates), lengths, real(2, 3, 2)]
        if op == "LSTM":
            full += [real(2, 3, 2), real(2, 6)]
        both = {"direction": "bidirectional", "activations": 2 * names}
        case(op, full, both | {"hidden_size": 2}, both, outputs=states, judge="onnxruntime")
        other = {"direction": "reverse",
                 "activations": ["HardSigmoid", "Affine", "Softsign"][-len(names):]
                 if op != "GRU" else ["HardSigmoid", "ScaledTanh"]}
        constants = {"LSTM": [0.25, 0.5], "GRU": [0.25, 0.5], "RNN": []}[op]
        if constants:
            other |= {"activation_alpha": constants, "activation_beta": constants}
        if op == "GRU":
            other |= {"linear_before_reset": 1}
        case(op, [real(4, 3, 5), *weights(1), real(1, 4 * gates)], other | {"hidden_size": 2},
             other, outputs=states, judge="onnxruntime")
def function_cases():
    for op in ["Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh"]:
        case(op, [real(2, 5, low=-1.5, high=1.5)])
    for op in ["Asin", "Acos", "Atanh"]:
        case(op, [real(2, 5, low=-1, high=1)])
    case("Acosh", [real(2, 5, low=1, high=9)])
    case("Celu", [real(3, 7, low=-6, high=6)])
    case("Celu", [real(3, 7, low=-6, high=6)], {"alpha": 2.0})
    case("Shrink", [real(3, 7)])
    case("Shrink", [real(3, 7)], {"lambd": 1.0, "bias": 0.25}, {"lambda": 1.0, "bias": 0.25})
    case("Clip", [integer(2, 5), np.array(-5, dtype=np.int8), np.array(40, dtype=np.int8)])


def integer_cases():
    for op in ["Add", "Sub", "Mul"]:
        case(op, [integer(2, 5, dtype=np.int32), integer(5, dtype=np.int32)])
        case(op, [integer(2, 5, low=100, high=255, dtype=np.uint8),
                  integer(2, 1, low=0, high=100, dtype=np.uint8)])
    divisors = np.array([3, -2, 7, -1, 5], dtype=np.int32)
    case("Div", [integer(4, 5, dtype=np.int32), divisors])
    case("Mod", [integer(4, 5, dtype=np.int32), divisors])
    case("Mod", [integer(4, 5, dtype=np.int32), divisors], {"fmod": 1})
    case("Mod", [real(4, 5), real(5)], {"fmod": 1})
    case("Pow", [integer(5, low=-9, high=9, dtype=np.int32),
                 np.array([0, 1, 2, 3, 5], dtype=np.int32)])
    for op in ["Min", "Max"]:
        case(op, [integer(2, 5), integer(5)])
    for op in ["Abs", "Neg", "Sign"]:
        case(op, [integer(3, 4, dtype=np.int32)])
    for op in ["BitwiseAnd", "BitwiseOr", "BitwiseXor"]:
        case(op, [integer(2, 5, dtype=np.int32), integer(5, dtype=np.int32)])
    case("BitwiseNot", [integer(2, 5)])
    for direction in ["LEFT", "RIGHT"]:
        case("BitShift", [integer(2, 5, low=0, high=255, dtype=np.uint8),
                          integer(5, low=0, high=7, dtype=np.uint8)],
             {"direction": direction}, {"direction": direction.lower()})
    truth = [integer(3, 4, low=0, high=1).astype(bool) for _ in range(2)]
    for op in ["And", "Or", "Xor"]:
        case(op, truth)
    case("Not", truth[:1])
    special = np.array([0, np.inf, -np.inf, np.nan, 1], dtype=np.float32)
    case("IsNaN", [special])
    case("IsInf", [special])
    case("IsInf", [special], {"detect_negative": 0})
    case("BitCast", [real(5)], {"to": TensorProto.INT32}, {"to": "int32"}, opset=26)


def index_cases():
    case("GatherElements", [real(3, 4), indices(0, -1, 2, 1, 1, 0, -2, 2).reshape(2, 4)])
    case("GatherElements", [real(3, 4), indices(0, -1, 3, 1, 1, 0).reshape(3, 2)], {"axis": 1})
    case("GatherND", [real(3, 4, 2), indices(0, -1, 2, 1).reshape(2, 2)])
    case("GatherND", [real(2, 4, 3), indices(3, -1).reshape(2, 1)], {"batch_dims": 1})
    at = indices(0, -1, 2, 1, 1, 0).reshape(2, 3)
    for reduction in ["none", "add", "mul", "max", "min"]:
        case("ScatterElements", [real(3, 3), np.array([[0, 1, 2], [1, 2, -3]]), real(2, 3)],
             {"reduction": reduction})
        case("ScatterND", [real(4, 3), indices(0, -1, 2).reshape(3, 1), real(3, 3)],
             {"reduction": reduction})
    case("ScatterElements", [real(2, 4), at, real(2, 3)], {"axis": 1})
    case("TensorScatter", [real(2, 1, 4, 3), real(2, 1, 2, 3), indices(1, 3)],
         {"mode": "circular"}, opset=24)
    for axis in [-1, 0]:
        case("OneHot", [indices(0, 3, -1, 9), real(2)], {"axis": axis},
             {"axis": axis, "depth": 4}, between=[("depth", np.array(4))])
    case("Trilu", [real(2, 3, 4)])
    case("Trilu", [integer(4, 3)], {"upper": 0}, {"upper": 0, "k": -1},
         extra=[("k", np.array(-1, dtype=np.int64))])
    for flags in [{}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}]:
        axis = [("axis", np.array(1, dtype=np.int64))]
        case("CumSum", [real(2, 5)], flags, flags | {"axis": 1}, extra=axis)
        case("CumProd", [real(2, 5)], flags, flags | {"axis": 1}, extra=axis, opset=26)
    case("ReverseSequence", [real(4, 3, 2), indices(4, 1, 2)])
    case("ReverseSequence", [integer(2, 5), indices(3, 5)], {"batch_axis": 0, "time_axis": 1})
    case("Hardmax", [np.round(real(3, 6))])
    tied = np.round(real(3, 8))
    case("ArgMin", [tied], {"axis": 1, "keepdims": 0})
    case("ArgMin", [integer(3, 8, low=-4, high=3)], {"axis": 1, "select_last_index": 1})
    case("ArgMax", [integer(3, 8, low=-4, high=3)], {"axis": 0})
    case("Pad", [real(3, 4)], {"mode": "wrap"}, {"mode": "wrap", "pads": [2, 5, 4, 3]},
         extra=[("p", indices(2, 5, 4, 3))])
    case("NegativeLogLikelihoodLoss", [real(3, 4, 2), indices(0, 3, 1, 2, 1, 0).reshape(3, 2),
                                       real(4, low=0.1)])
    case("NegativeLogLikelihoodLoss", [real(3, 4), indices(0, 3, 1)],
         {"reduction": "sum", "ignore_index": 3}, {"reduction": "sum", "ignored": [3]})


def more_reduction_cases():
    for op in ["ReduceProd", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum",
               "ReduceLogSumExp"]:
        for axes, keepdims in [([1], 1), ([-1, 0], 0), (None, 0)]:
            attributes = {"keepdims": keepdims}
            extra = [] if axes is None else [("axes", indices(*axes))]
            case(op, [real(2, 3, 4, low=0.1)], attributes,
                 attributes | ({"axes": axes} if axes else {}), extra=extra)
    for op in ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"]:
        case(op, [integer(2, 3, low=-5, high=5, dtype=np.int32)], {}, {"axes": [1]},
             extra=[("axes", indices(1))])


def resize_case(shape, axes, sizes=None, scales=None, **mine):
    """Tandem's attributes are given; ONNX's follow from them."""
    named = {"coordinates": "coordinate_transformation_mode", "nearest": "nearest_mode",
             "cubic_a": "cubic_coeff_a", "extrapolation": "extrapolation_value"}
    onnx_attributes = {named.get(key, key): value for key, value in mine.items() if key != "roi"}
    onnx_attributes["axes"] = axes
    if scales:
        mine["scales"] = scales
    else:
        scales = []
    extra = [("roi", np.array(mine.get("roi", []), dtype=np.float32)) if "roi" in mine
             else ("roi", None),
             ("scales", np.array(scales, dtype=np.float32)) if scales else ("scales", None),
             ("sizes", None if scales else indices(*sizes))]
    sizes = sizes or [int(shape[axis] * scale) for axis, scale in zip(axes, scales)]
    case("Resize", [real(*shape)], onnx_attributes, mine | {"axes": axes, "sizes": sizes},
         extra=extra)


def image_cases():
    resize_case((1, 2, 4, 5), [2, 3], [7, 3], mode="nearest")
    resize_case((1, 1, 4, 4), [2, 3], [8, 2], mode="nearest", nearest="ceil",
                coordinates="asymmetric")
    resize_case((1, 1, 4, 5), [2, 3], [7, 3], mode="linear")
    resize_case((1, 1, 4, 5), [2, 3], [7, 3], mode="linear", coordinates="align_corners")
    resize_case((1, 1, 4, 5), [2, 3], scales=[0.625, 2.0], mode="linear", antialias=1)
    resize_case((1, 1, 4, 5), [2, 3], [7, 9], mode="cubic", cubic_a=-0.5, exclude_outside=1)
    resize_case((1, 1, 4, 5), [2, 3], [3, 3], mode="linear", roi=[0.25, 0.5, 0.75, 1.5],
                coordinates="tf_crop_and_resize", extrapolation=10.0)
    for mode in ["linear", "nearest", "cubic"]:
        for padding in ["zeros", "border", "reflection"]:
            if (mode, padding) == ("cubic", "border"):
                continue  # the reference and onnxruntime disagree; Tandem refuses it
            case("GridSample", [real(1, 2, 4, 3), real(1, 3, 2, 2, low=-1.4, high=1.4)],
                 {"mode": mode, "padding_mode": padding}, {"mode": mode, "padding": padding})
    case("GridSample", [real(1, 1, 3, 4, 2), real(1, 2, 2, 2, 3, low=-1.2, high=1.2)],
         {"align_corners": 1})
    case("AffineGrid", [real(2, 2, 3)], {}, {"size": [3, 4]}, extra=[("s", indices(2, 1, 3, 4))])
    case("AffineGrid", [real(1, 3, 4)], {"align_corners": 1},
         {"align_corners": 1, "size": [2, 3, 4]}, extra=[("s", indices(1, 1, 2, 3, 4))])
    regions = np.array([[0, 0, 4, 4], [1.5, 0.5, 5, 2], [-1, -1, 2, 8]], dtype=np.float32)
    for mode in ["avg", "max"]:
        case("RoiAlign", [real(2, 2, 5, 6), regions, indices(0, 1, 0)],
             {"output_height": 2, "output_width": 3, "mode": mode, "sampling_ratio": 2},
             {"height": 2, "width": 3, "mode": mode, "sampling_ratio": 2})
    case("Col2Im", [real(1, 18, 4)], {"strides": [2, 2]},
         {"image": [5, 5], "kernel": [3, 3], "strides": [2, 2]},
         extra=[("i", indices(5, 5)), ("b", indices(3, 3))])
    case("Det", [real(2, 3, 3)])
    case("DFT", [real(2, 10, 1)], {}, {"axis": 1}, extra=[("n", None), ("a", np.array(1))])
    case("DFT", [real(2, 6, 1)], {"onesided": 1}, {"axis": 1, "length": 8, "onesided": 1},
         extra=[("n", np.array(8)), ("a", np.array(1))])
    case("STFT", [real(2, 20, 1), real(8)], {}, {"frame_length": 8, "frame_step": 3},
         between=[("step", np.array(3))])


def control_case(op, text, attributes, bodies, inputs, parameters=()):
    """A node with bodies: `text` is ONNX's graph, `bodies` are Tandem's for the same.

    `parameters` are constants that Tandem's node reads before the inputs.
    """
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    feed = {f"x{i}": array for i, array in enumerate(inputs)}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    results = session.run(None, feed)  # the reference knows no loop without a condition
    case(op, list(inputs), tandem_attributes=attributes,
         results=[np.asarray(array) for array in results])
    lines = cases.pop().split("\n")
    lines[2:2] = [f"constant @{name} : {type_text(array)} = [{number(array.item())}]"
                  for name, array in parameters]
    at = next(i for i, line in enumerate(lines) if line.startswith("graph"))
    names = [line.split("(")[0].removeprefix("body @") for line in bodies.split("\n")
             if line.startswith("body")]
    node = lines[-2].replace(f"{op}(", f"{op}(" + "".join(f"%{name}, " for name, _ in parameters))
    lines[-2] = node + "".join(f" body @{name}" for name in names)
    lines[at + 1:at + 1] = [f"  %{name} = constant @{name}" for name, _ in parameters]
    lines[at:at] = bodies.split("\n")
    cases.append("\n".join(lines))


def control_cases():
    branches = ("body @one(%x : f32[2,3]) -> (%y) {\n  %y : f32[2,3] = Sigmoid(%x)\n}\n"
                "body @two(%x : f32[2,3]) -> (%y) {\n  %y : f32[2,3] = Neg(%x)\n}")
    for condition in (True, False):
        control_case("If", """g (bool x0, float[2, 3] x1) => (float[2, 3] y) {
            y = If (x0) <then_branch = one () => (float[2, 3] t) { t = Sigmoid (x1) },
                         else_branch = two () => (float[2, 3] e) { e = Neg (x1) }> }""",
                     {}, branches, [np.array(condition), real(2, 3)])
    step = ("body @step(%i : int64[], %m : bool[], %p : f32[3]) -> (%o, %q, %r) {\n"
            "  %o : bool[] = Identity(%m)\n  %f : f32[] = Cast(%i) {to = f32}\n"
            "  %q : f32[3] = Add(%p, %f)\n  %r : f32[3] = Mul(%p, %q)\n}")
    control_case("Loop", """g (float[3] x0) => (float[3] y, float[4, 3] z) {
        n = Constant <value = int64 {4}> ()
        y, z = Loop (n, "", x0) <body = b (int64 i, bool m, float[3] p)
                                 => (bool o, float[3] q, float[3] r) {
          o = Identity (m)  f = Cast <to = 1> (i)  q = Add (p, f)  r = Mul (p, q) }> }""",
                 {"carried": 1}, step, [real(3)], [("n", np.array(4)), ("c", np.array(True))])
    step = ("body @step(%p : f32[2], %r : f32[2]) -> (%q, %o) {\n"
            "  %q : f32[2] = Add(%p, %r)\n  %o : f32[2] = Mul(%q, %r)\n}")
    control_case("Scan", """g (float[2] x0, float[4, 2] x1) => (float[2] y, float[4, 2] z) {
        y, z = Scan <num_scan_inputs = 1, scan_input_directions = [1], body =
          b (float[2] p, float[2] r) => (float[2] q, float[2] o) {
          q = Add (p, r)  o = Mul (q, r) }> (x0, x1) }""",
                 {"states": 1, "scanned": 1, "input_reversed": [1]}, step, [real(2), real(4, 2)])


if __name__ == "__main__":
    unary_cases()
    binary_cases()
    linear_cases()
    pooling_cases()
    reduction_cases()
    movement_cases()
    # Later cases stand last, so that the random arrays of the earlier ones stay as they are.
    case("ThresholdedRelu", [real(3, 7)])
    case("ThresholdedRelu", [real(3, 7)], {"alpha": -0.5})
    layer_cases()
    sequence_cases()
    tree_case()
    function_cases()
    integer_cases()
    index_cases()
    more_reduction_cases()
    image_cases()
    control_cases()
    size_cases()
    target = pathlib.Path(__file__).parent / "onnx_cases.txt"
    target.write_text("\n".join(cases) + "\n")
    print(f"{len(cases)} cases, {target.stat().st_size} bytes, onnx {onnx.__version__}, "
          f"onnxruntime {onnxruntime.__version__}")
