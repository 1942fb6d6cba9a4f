"""Graphs of ONNX's own operators; onnxruntime computes what they give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from golden_graphs import Graph, model_of, stored
from onnx import TensorProto, helper

CASES: list[tuple[str, dict[str, np.ndarray], Any]] = []


def noise(*shape: int, seed: int = 1, scale: float = 1.5) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def run(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def case(name: str, build: Callable[[Graph], Any], opset: int = 17,
         shapes: dict[str, list[Any]] | None = None, edit: Callable[[Any], None] | None = None,
         **inputs: np.ndarray) -> None:
    """`build` appends nodes that read `inputs` and returns the names of the outputs."""
    graph = Graph()
    result = build(graph)
    graph.outputs = [result] if isinstance(result, str) else list(result)
    model = model_of(graph, inputs, opset, shapes)
    if edit is not None:
        edit(model)
    CASES.append((name, inputs, model))


def single(op: str, opset: int = 17, label: str = "", outputs: int = 1,
           consts: list[Any] | None = None, shapes: dict[str, list[Any]] | None = None,
           inputs: dict[str, np.ndarray] | None = None, **attributes: Any) -> None:
    """A graph of one node whose inputs are `inputs`, then the constants (None: absent)."""
    given = inputs or {"x": noise(2, 3, 4)}

    def build(g: Graph) -> str:
        names = list(given)
        for value in consts or []:
            names.append("" if value is None else g.const(value, np.asarray(value).dtype))
        result = g.add(op, names, outputs, **attributes)
        is_real = all(array.dtype == np.float32 for array in given.values())
        return result if is_real else g.add("Cast", [result], to=TensorProto.FLOAT)

    case(f"{op}{label}_{opset}", build, opset, shapes=shapes, **given)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def elementwise() -> None:
    for op in ["Abs", "Ceil", "Erf", "Exp", "Floor", "Neg", "Relu", "Round", "Sigmoid", "Sign",
               "Softplus", "Softsign", "Tanh", "HardSwish", "Reciprocal"]:
        single(op)
    for op in ["Log", "Sqrt"]:
        single(op, inputs={"x": np.abs(noise(5)) + 0.1})
    single("LeakyRelu", alpha=0.3)
    single("LeakyRelu", opset=7)
    single("ThresholdedRelu", alpha=0.3)
    single("Elu", alpha=0.7)
    single("Selu")
    single("HardSigmoid", alpha=0.3, beta=0.4)
    single("Gelu", opset=20)
    single("Gelu", opset=20, label="_tanh", approximate="tanh")
    single("Mish", opset=18)
    single("PRelu", consts=[noise(3, 1, seed=2)])
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"]:
        single(op, consts=[noise(3, 1, seed=2)])
    single("Add", opset=7, consts=[noise(4, seed=2)])
    single("Pow", inputs={"x": np.abs(noise(5))}, consts=[f32(1.5)])
    single("Pow", label="_int", consts=[np.int64(2)], opset=13)
    for op in ["Max", "Min", "Sum", "Mean"]:
        single(op, opset=13, label="_many",
               inputs={"a": noise(2, 3), "b": noise(3, seed=2), "c": noise(2, 1, seed=3)})
    single("Clip", opset=10, min=-0.5, max=0.75)
    single("Clip", opset=7, label="_low", min=0.0)
    single("Clip", opset=13, consts=[np.float32(-0.5), np.float32(0.75)])
    single("Clip", opset=13, label="_high", consts=[None, np.float32(0.75)])
    single("Identity")
    single("Dropout", opset=7, ratio=0.3)
    single("Dropout", opset=13, consts=[np.float32(0.3), np.bool_(False)])
    # A mask that nobody reads.
    case("Dropout_mask_13", lambda g: g.add("Dropout", ["x"], 2), 13, x=noise(2, 3, 4))
    for axis in (-1, 0, 1, 2):
        single("Softmax", opset=11, label=f"_{axis % 3}{'n' if axis < 0 else ''}", axis=axis)
        single("Softmax", opset=13, label=f"_{axis % 3}{'n' if axis < 0 else ''}", axis=axis)
    single("Softmax", opset=9)
    single("LogSoftmax", opset=13)
    single("LogSoftmax", opset=11)

    def where(g: Graph) -> str:
        return g.add("Where", [g.add("Less", ["x", g.const(np.float32(0.2))]), "x", "y"])

    case("Where_17", where, x=noise(2, 3), y=noise(3, seed=2))

    def casts(g: Graph) -> str:
        whole = g.add("Cast", ["x"], to=TensorProto.INT32)
        same = g.add("Cast", [g.add("Cast", [whole], to=TensorProto.FLOAT)], to=TensorProto.FLOAT)
        return g.add("Add", [same, g.add("Cast", ["u"], to=TensorProto.FLOAT)])

    case("Cast_13", casts, 13, x=noise(2, 3, scale=5), u=np.arange(3, dtype=np.uint8))


def layers() -> None:
    x = noise(2, 4, 7, 6)
    w = noise(6, 4, 3, 2, seed=2, scale=0.4)
    single("Conv", inputs={"x": x}, consts=[w])
    single("Conv", label="_bias", inputs={"x": x}, consts=[w, noise(6, seed=3)],
           kernel_shape=[3, 2])
    single("Conv", label="_pads", inputs={"x": x}, consts=[w], pads=[1, 0, 2, 1], strides=[2, 1],
           dilations=[1, 2])
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        single("Conv", label=f"_{pad}", inputs={"x": x}, consts=[w], auto_pad=pad, strides=[2, 2])
    single("Conv", label="_group", inputs={"x": x}, consts=[noise(6, 2, 3, 3, seed=2)], group=2)
    single("Conv", label="_depthwise", inputs={"x": x}, consts=[noise(4, 1, 3, 3, seed=2)], group=4)
    single("Conv", label="_1d", opset=7, inputs={"x": noise(1, 3, 9)},
           consts=[noise(2, 3, 4, seed=2), noise(2, seed=3)], pads=[1, 2], strides=[2])
    for op in ("MaxPool", "AveragePool"):
        single(op, opset=11, inputs={"x": x}, kernel_shape=[3, 2])
        single(op, opset=12, label="_pads", inputs={"x": x}, kernel_shape=[3, 2], pads=[1, 0, 1, 1],
               strides=[2, 2])
        single(op, opset=12, label="_ceil", inputs={"x": x}, kernel_shape=[3, 3], strides=[2, 2],
               ceil_mode=1)
        single(op, opset=12, label="_same", inputs={"x": x}, kernel_shape=[3, 3], strides=[2, 2],
               auto_pad="SAME_UPPER")
        single(op, opset=7, label="_1d", inputs={"x": noise(1, 3, 9)}, kernel_shape=[4],
               strides=[3])
    single("MaxPool", opset=12, label="_dilated", inputs={"x": x}, kernel_shape=[2, 2],
           dilations=[2, 3])
    single("AveragePool", opset=12, label="_counted", inputs={"x": x}, kernel_shape=[3, 3],
           pads=[1, 1, 1, 1], count_include_pad=1)
    single("AveragePool", opset=19, label="_counted_ceil", inputs={"x": x}, kernel_shape=[3, 3],
           pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1, ceil_mode=1)
    single("GlobalAveragePool", inputs={"x": x})
    single("GlobalMaxPool", inputs={"x": x})
    single("MatMul", inputs={"a": noise(2, 3, 4), "b": noise(4, 5, seed=2)})
    single("MatMul", label="_batched", inputs={"a": noise(2, 3, 4), "b": noise(2, 4, 5, seed=2)})
    single("Gemm", inputs={"a": noise(3, 4)}, consts=[noise(4, 5, seed=2)])
    single("Gemm", label="_c", opset=7, inputs={"a": noise(4, 3)},
           consts=[noise(5, 4, seed=2), noise(5, seed=3)], transA=1, transB=1, alpha=0.5, beta=2.0)
    params = [noise(4, seed=2), noise(4, seed=3), noise(4, seed=4), np.abs(noise(4, seed=5)) + 0.1]
    for opset in (7, 9, 15):
        single("BatchNormalization", opset=opset, inputs={"x": x}, consts=params, epsilon=1e-3)
    single("BatchNormalization", label="_flat", inputs={"x": noise(3, 4)}, consts=params)


def shapes() -> None:
    x = noise(2, 3, 4)
    single("Reshape", consts=[i64(0, -1)])
    single("Reshape", opset=7, label="_plain", consts=[i64(4, 6)])
    single("Flatten", axis=2)
    single("Flatten", opset=9, label="_0", axis=0)
    single("Flatten", label="_n", axis=-1)
    single("Squeeze", opset=11, inputs={"x": noise(1, 3, 1)}, axes=[0])
    single("Squeeze", opset=13, label="_all", inputs={"x": noise(1, 3, 1)})
    single("Squeeze", opset=13, inputs={"x": noise(1, 3, 1)}, consts=[i64(-1)])
    single("Unsqueeze", opset=11, axes=[0, 4])
    single("Unsqueeze", opset=13, consts=[i64(-1, 1)])
    single("Transpose")
    single("Transpose", label="_perm", perm=[1, 0, 2])
    single("Concat", inputs={"a": x, "b": noise(2, 1, 4, seed=2)}, axis=1)
    single("Concat", label="_n", inputs={"a": x, "b": noise(2, 3, 2, seed=2)}, axis=-1)
    for opset in (9, 10, 13):
        starts, ends, axes = [1, -3], [3, 100], [1, -1]
        if opset == 9:
            single("Slice", opset, starts=starts, ends=ends, axes=axes)
        else:
            single("Slice", opset, consts=[i64(*starts), i64(*ends), i64(*axes), i64(1, 2)])
    single("Slice", label="_back", consts=[i64(3), i64(-100), i64(2), i64(-2)])
    single("Pad", opset=10, pads=[0, 1, 0, 0, 0, 2], value=0.5)
    single("Pad", opset=11, consts=[i64(0, 1, 0, 0, 0, 2), np.float32(-1)])
    single("Pad", opset=13, label="_edge", consts=[i64(0, 1, 0, 0, 0, 2)], mode="edge")
    single("Pad", opset=13, label="_reflect", consts=[i64(0, 1, 0, 0, 0, 2)], mode="reflect")
    single("Pad", opset=18, label="_axes", consts=[i64(1, 2), np.float32(0.5), i64(-1)])
    single("Gather", consts=[np.array([[2, 0], [-1, 1]], np.int64)], axis=1)
    single("Gather", label="_scalar", consts=[np.int64(1)], axis=2)
    single("Expand", inputs={"x": noise(3, 1)}, consts=[i64(2, 1, 4)])
    single("Tile", consts=[i64(1, 2, 3)])
    single("DepthToSpace", opset=13, inputs={"x": noise(1, 8, 2, 3)}, blocksize=2)
    single("DepthToSpace", opset=13, label="_crd", inputs={"x": noise(1, 8, 2, 3)}, blocksize=2,
           mode="CRD")
    single("SpaceToDepth", opset=13, inputs={"x": noise(1, 2, 4, 6)}, blocksize=2)
    for op in ("ReduceMean", "ReduceMax", "ReduceMin"):
        single(op, opset=13, axes=[1], keepdims=0)
        single(op, opset=18, consts=[i64(0, -1)])
    single("ReduceSum", opset=11, axes=[-1])
    single("ReduceSum", opset=13, consts=[i64(1)], keepdims=0)
    single("ReduceSum", opset=13, label="_all")
    single("ReduceSum", opset=13, label="_noop", noop_with_empty_axes=1)

    def split(**attributes: Any) -> Callable[[Graph], list[str]]:
        def build(g: Graph) -> list[str]:
            first = g.add("Split", ["x"], 2, **attributes)
            return [first, f"{first}_1"]
        return build

    case("Split_11", split(axis=1, split=[1, 2]), 11, x=x)
    case("Split_13", split(axis=2), 13, x=x)
    case("Split_18", split(axis=1, num_outputs=2), 18, x=x)

    def top_k(g: Graph) -> list[str]:
        first = g.add("TopK", ["x", g.const(i64(2), np.int64)], 2, axis=1)
        return [first]

    case("TopK_11", top_k, 11, x=x)

    def arg(op: str) -> Callable[[Graph], str]:
        def build(g: Graph) -> str:
            return g.add("Cast", [g.add(op, ["x"], axis=1, keepdims=0)], to=TensorProto.FLOAT)
        return build

    case("ArgMax_13", arg("ArgMax"), 13, x=x)
    case("ArgMin_13", arg("ArgMin"), 13, x=x)


def folded() -> None:
    """What exporters leave in a graph: arithmetic on shapes, constants of every kind."""
    x = noise(2, 3, 4)

    def flatten(g: Graph) -> str:
        batch = g.add("Gather", [g.add("Shape", ["x"]), g.const(np.int64(0), np.int64)], axis=0)
        shape = g.add("Concat", [g.add("Unsqueeze", [batch], axes=[0]),
                                 g.const(i64(-1), np.int64)], axis=0)
        return g.add("Reshape", ["x", shape])

    case("flatten_by_shape", flatten, 9, shapes={"x": ["batch", 3, 4]}, x=x)
    case("flatten_by_shape_fixed", flatten, 9, x=x)

    def split_heads(g: Graph) -> str:
        shape = g.add("Shape", ["x"])
        first = g.add("Slice", [shape, g.const(i64(0), np.int64), g.const(i64(1), np.int64)])
        rest = g.add("Gather", [shape, g.const(np.int64(2), np.int64)])
        half = g.add("Div", [rest, g.const(np.int64(2), np.int64)])
        half = g.add("Unsqueeze", [half, g.const(i64(0), np.int64)])
        three = g.add("Constant", [], value_ints=[3, 2])
        return g.add("Reshape", ["x", g.add("Concat", [first, three, half], axis=0)])

    case("split_heads", split_heads, 17, shapes={"x": ["N", 3, 4]}, x=x)

    def expand_like(g: Graph) -> str:
        shape = g.add("Shape", ["x"])
        wanted = g.const(i64(-1, 3, 4), np.int64)
        filled = g.add("ConstantOfShape", [g.const(i64(3), np.int64)],
                       value=helper.make_tensor("", TensorProto.INT64, [1], [1]))
        minus = g.add("Mul", [filled, g.const(np.int64(-1), np.int64)])
        shape = g.add("Where", [g.add("Equal", [wanted, minus]), shape, wanted])
        return g.add("Add", [g.add("Expand", ["x", shape]), "x"])

    case("expand_like", expand_like, 17, shapes={"x": ["N", 3, 4]}, x=x)

    def shape_parts(g: Graph) -> str:
        last = g.add("Shape", ["x"], start=-1)
        total = g.add("Cast", [g.add("Size", ["x"])], to=TensorProto.INT64)
        rows = g.add("Div", [g.add("Unsqueeze", [total, g.const(i64(0), np.int64)]), last])
        product = g.add("ReduceProd", [g.add("Shape", ["x"], end=2)], keepdims=1)
        rows = g.add("Max", [rows, product])
        return g.add("Reshape", ["x", g.add("Concat", [rows, last], axis=0)])

    case("shape_parts", shape_parts, 17, x=x)

    def constants(g: Graph) -> str:
        y = g.add("Add", ["x", g.add("Constant", [], value_float=0.5)])
        y = g.add("Mul", [y, g.add("Constant", [], value_floats=[1.0, 2.0, 3.0, 4.0])])
        y = g.add("Add", [y, g.add("Constant", [], value=helper.make_tensor(
            "", TensorProto.FLOAT, [1, 4], [4.0, 3.0, 2.0, 1.0]))])
        power = g.add("Pow", [g.const(f32(318.2)), g.const(np.float32(0.5))])
        y = g.add("Div", [y, g.add("Sqrt", [g.add("Mul", [power, power])])])
        zeros = g.add("ConstantOfShape", [g.const(i64(3, 1), np.int64)])
        return g.add("Add", [y, zeros])

    case("constants", constants, 17, x=x)

    def index_range(g: Graph) -> str:
        one, zero = g.const(np.int64(1), np.int64), g.const(np.int64(0), np.int64)
        stop = g.add("Gather", [g.add("Shape", ["x"]), g.const(np.int64(1), np.int64)])
        return g.add("Gather", ["x", g.add("Range", [zero, stop, one])], axis=1)

    case("index_range", index_range, 17, x=x)


def structure() -> None:
    x = noise(2, 3)

    def unsorted(model: Any) -> None:
        nodes = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend(reversed(nodes))

    def chain(g: Graph) -> str:
        return g.add("Neg", [g.add("Relu", [g.add("Add", ["x", g.const(f32(0.5))])])])

    case("names", chain, x=x, edit=odd_names)
    CASES.append(("unsorted", {"x": x}, (CASES[-1][2], unsorted)))

    def listed(model: Any) -> None:
        for tensor in model.graph.initializer:
            model.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        model.ir_version = 3

    case("initializers_as_inputs", chain, opset=8, x=x, edit=listed)
    case("passed_through", lambda g: [g.add("Identity", ["x"]), g.add("Relu", ["x"])], x=x)
    case("constant_output",
         lambda g: [g.add("Relu", ["x"]), g.add("Identity", [g.const(f32(1, 2))])], x=x)
    case("unused", lambda g: [g.add("Relu", ["x"]), g.add("Exp", ["x"])][:1], x=x)


def odd_names(model: Any) -> None:
    """Names with the characters of exporters, and a node without one."""
    renamed = {"x": "onnx::Add_0", "v0": "/block.1/conv:0", "v1": "/block.1/relu:0",
               "v2": "out put", "c0": "block.1.bias"}
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        node.name = "" if node.op_type == "Relu" else f"/block.1/{node.op_type}"
    model.graph.input[0].name = "onnx::Add_0"
    model.graph.output[0].name = "out put"
    model.graph.initializer[0].name = "block.1.bias"


def quantized() -> None:
    x = noise(2, 3, 4, 4)
    ties = (np.arange(-8, 8, dtype=np.float32) / 2).reshape(1, 16)

    def pair(zero: Any, scale: Any = np.float32(0.1), opset: int = 13, name: str = "",
             data: np.ndarray = x, **attributes: Any) -> None:
        def build(g: Graph) -> str:
            s = g.const(scale)
            z = [] if zero is None else [g.const(zero, getattr(zero, "dtype", None))]
            q = g.add("QuantizeLinear", ["x", s, *z], **attributes)
            return g.add("DequantizeLinear", [q, s, *z], **attributes)
        case(f"qdq_{name}_{opset}", build, opset, x=data)

    pair(None, name="default", opset=10)
    pair(np.int8(0), name="int8")
    pair(np.uint8(128), name="uint8_even")
    pair(np.uint8(7), name="uint8_odd")
    pair(np.int8(3), np.float32(1), name="ties_odd", data=ties)
    pair(np.int8(4), np.float32(1), name="ties_even", data=ties)
    pair(np.zeros(3, np.int8), f32(0.1, 0.2, 0.05), name="axis", axis=1)
    pair(np.array([1, 5, 128], np.uint8), f32(0.1, 0.2, 0.05), name="axis_zero", axis=-3)
    pair(np.int16(0), np.float32(0.001), 21, name="int16")
    pair(np.uint16(32768), np.float32(0.001), 21, name="uint16")
    for kind, zero in (("INT4", 0), ("UINT4", 8)):
        tensor = helper.make_tensor("", getattr(TensorProto, kind), [], [zero])
        pair(tensor, np.float32(0.25), 21, name=kind.lower())

    for kind in ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"):
        tensor = helper.make_tensor("", getattr(TensorProto, kind), [], [0.0])
        pair(tensor, np.float32(0.003), 21, name=kind.lower())

    def network(g: Graph) -> str:
        """A quantized layer as tools export it: int8 weights per channel and an int32 bias."""
        weights = np.random.default_rng(3).integers(-127, 128, (5, 3, 2, 2)).astype(np.int8)
        bias = np.random.default_rng(4).integers(-500, 500, 5).astype(np.int32)
        sx, zx = g.const(np.float32(0.02)), g.const(np.uint8(114), np.uint8)
        sw = g.const(np.linspace(0.001, 0.01, 5))
        sb = g.const(0.02 * np.linspace(0.001, 0.01, 5))
        q = g.add("DequantizeLinear", [g.add("QuantizeLinear", ["x", sx, zx]), sx, zx])
        w = g.add("DequantizeLinear", [g.const(weights, np.int8), sw,
                                       g.const(np.zeros(5), np.int8)], axis=0)
        b = g.add("DequantizeLinear", [g.const(bias, np.int32), sb], axis=0)
        y = g.add("Relu", [g.add("Conv", [q, w, b])])
        sy, zy = g.const(np.float32(0.01)), g.const(np.uint8(0), np.uint8)
        return g.add("DequantizeLinear", [g.add("QuantizeLinear", [y, sy, zy]), sy, zy])

    case("qdq_layer", network, 13, shapes={"x": ["N", 3, 4, 4]}, x=x)

    def int4_weights(g: Graph) -> str:
        w = helper.make_tensor("", TensorProto.INT4, [4, 3], [i - 6 for i in range(12)])
        w = g.add("DequantizeLinear", [g.const(w), g.const(f32(0.1, 0.2, 0.3))], axis=1)
        return g.add("MatMul", ["x", w])

    case("int4_weights", int4_weights, 21, x=noise(2, 4))

    def int4_blocks(g: Graph) -> str:
        w = helper.make_tensor("", TensorProto.UINT4, [6, 3], [i % 16 for i in range(18)])
        scales = np.linspace(0.1, 0.6, 6).reshape(2, 3)
        zeros = helper.make_tensor("", TensorProto.UINT4, [2, 3], [7, 8, 9, 6, 0, 15])
        w = g.add("DequantizeLinear", [g.const(w), g.const(scales), g.const(zeros)], axis=0,
                  block_size=3)
        return g.add("MatMul", ["x", w])

    case("int4_blocks", int4_blocks, 21, x=noise(2, 6))


def integers() -> None:
    a = np.random.default_rng(1).integers(-100, 100, (2, 3)).astype(np.int32)
    b = np.array([3, -7, 5], np.int32)
    for op in ("Add", "Sub", "Mul", "Div", "Mod"):
        single(op, inputs={"a": a}, consts=[b], label="_int")
    single("Mod", inputs={"a": noise(2, 3)}, consts=[f32(0.5, -0.25, 2)], label="_real", fmod=1)
    single("Pow", inputs={"a": np.abs(a)}, consts=[np.float32(1.5)], label="_int_real")
    single("BitShift", inputs={"a": np.abs(a).astype(np.uint8)},
           consts=[np.array([1, 2, 3], np.uint8)], direction="LEFT")
    single("ArgMin", inputs={"a": a}, axis=1, label="_int")
    single("Celu", alpha=2.0)
    single("Shrink", lambd=0.75, bias=0.25)
    single("Hardmax", opset=11, axis=1)
    single("Hardmax", opset=13, axis=1)


def indexing() -> None:
    x = noise(3, 4)
    single("GatherElements", inputs={"x": x}, consts=[np.array([[0, -1], [1, 1], [3, 2]])], axis=1)
    single("GatherND", inputs={"x": x}, consts=[np.array([[0, -1], [2, 1]])])
    single("Scatter", opset=9, inputs={"x": x}, consts=[np.array([[0, 2, 1, 0]]), noise(1, 4)])
    single("ScatterElements", opset=18, inputs={"x": x}, axis=1, reduction="max",
           consts=[np.array([[0], [2], [-1]]), noise(3, 1, seed=2)])
    single("ScatterND", opset=16, inputs={"x": x}, reduction="add",
           consts=[np.array([[0], [2], [0]]), noise(3, 4, seed=2)])
    single("OneHot", inputs={"i": i64(0, 2, -1, 7)}, consts=[np.int64(3), f32(-1, 2)], axis=0)
    single("Trilu", inputs={"x": x}, consts=[np.int64(1)], upper=0)
    single("CumSum", inputs={"x": x}, consts=[np.int64(-1)], exclusive=1, reverse=1)
    single("ReverseSequence", inputs={"x": x}, consts=[i64(2, 4, 1)], batch_axis=0, time_axis=1)
    single("EyeLike", inputs={"x": x}, k=1)
    single("Pad", inputs={"x": x}, consts=[i64(-1, 1, 0, -2), np.float32(3)], label="_cut")
    for op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd",
               "ReduceSumSquare"):
        single(op, inputs={"x": np.abs(x)}, axes=[1])
    single("ReduceSumSquare", opset=18, label="_noop", noop_with_empty_axes=1)

    def selected(g: Graph) -> list[str]:
        data = g.const(np.array([[3, 0, 1], [1, 3, 0]]), np.int64)
        kept = g.const(np.array([True, False, True]), np.bool_)
        unique = g.add("Unique", [data], 4, sorted=0)
        names = [g.add("NonZero", [data]), unique, *(f"{unique}_{i}" for i in (1, 2, 3)),
                 g.add("Compress", ["x", kept], axis=0),
                 g.add("Range", [g.const(np.float32(1)), g.const(np.float32(3)),
                                 g.const(np.float32(0.75))])]
        return [g.add("Cast", [name], to=TensorProto.FLOAT) for name in names]

    case("selected", selected, x=x)


def sampling() -> None:
    x = noise(1, 2, 4, 5)
    single("Upsample", opset=7, inputs={"x": x}, scales=[1.0, 1.0, 2.0, 3.0])
    single("Upsample", opset=9, inputs={"x": x}, consts=[f32(1, 1, 2, 3)], mode="linear")
    single("Resize", opset=10, inputs={"x": x}, consts=[f32(1, 1, 2, 0.6)])
    single("Resize", opset=11, inputs={"x": x}, mode="linear",
           consts=[f32(), f32(), i64(1, 2, 7, 3)], coordinate_transformation_mode="align_corners")
    single("Resize", opset=13, inputs={"x": x}, consts=[None, f32(1, 1, 0.75, 2)], mode="cubic")
    single("Resize", opset=13, label="_crop", inputs={"x": x}, mode="linear",
           consts=[f32(0, 0, 0.2, 0.4, 1, 1, 0.8, 1.5), None, i64(1, 2, 3, 4)],
           coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0)
    single("Resize", opset=18, label="_kept", inputs={"x": x}, axes=[3, 2], mode="nearest",
           consts=[None, None, i64(10, 12)], keep_aspect_ratio_policy="not_larger")
    grid = noise(1, 3, 2, 2, seed=2, scale=0.6)
    single("GridSample", opset=16, inputs={"x": x, "g": grid}, mode="bilinear")
    single("GridSample", opset=20, inputs={"x": x, "g": grid}, padding_mode="reflection",
           align_corners=1)
    regions = np.array([[0, 0, 3, 3], [1, 0.5, 4, 2]], np.float32)
    for opset in (10, 16):
        single("RoiAlign", opset, inputs={"x": x, "r": regions}, consts=[i64(0, 0)],
               output_height=2, output_width=2, sampling_ratio=2)
    single("Det", inputs={"x": noise(2, 3, 3)})
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        case(op, lambda g, op=op: g.add("Identity", [g.add(
            op, [g.const(np.int64(9), np.int64)], periodic=0)]), x=x)
    case("DFT_17", lambda g: g.add("DFT", ["x"], axis=1, onesided=1), x=noise(2, 8, 1))
    case("STFT_17", lambda g: g.add("STFT", [
        "x", g.const(np.int64(3), np.int64), g.const(noise(8, seed=2))]), x=noise(2, 20, 1))


def arrays() -> dict[str, np.ndarray]:
    elementwise()
    layers()
    shapes()
    folded()
    structure()
    quantized()
    integers()
    indexing()
    sampling()
    result: dict[str, np.ndarray] = {}
    for name, inputs, model in CASES:
        if isinstance(model, tuple):  # the same model in a form that onnxruntime does not take
            valid, edit = model
            edited = type(valid)()
            edited.CopyFrom(valid)
            edit(edited)
            fed = dict(zip([i.name for i in valid.graph.input], inputs.values(), strict=True))
            result |= stored(name, edited, fed, run(valid, fed))
            continue
        fed = dict(zip([i.name for i in model.graph.input], inputs.values(), strict=False))
        try:
            result |= stored(name, model, fed, run(model, fed))
        except Exception as error:
            raise RuntimeError(f"case {name}") from error
    return result
