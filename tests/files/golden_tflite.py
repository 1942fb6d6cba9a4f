"""Writes golden/tflite.npz, golden/tflite_refused.npz and the seeds of the fuzzer of TensorFlow Lite files.

tflite.npz          models of one or few operators; codes by tflite-micro, reals by ai-edge-litert
tflite_refused.npz  models that the reader must refuse, each with a part of the message

The archives are those of make_golden.py. Needs the packages of tools/requirements/bench.txt. Run by
hand when cases change: .venv/bin/python tests/files/golden_tflite.py
"""

import pathlib
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from golden_archive import FOLDER, write_archive
from tflite_micro.python.tflite_micro import runtime as micro
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

TYPES = {np.dtype(np.float32): schema.TensorType.FLOAT32,
         np.dtype(np.float16): schema.TensorType.FLOAT16,
         np.dtype(np.int8): schema.TensorType.INT8, np.dtype(np.int16): schema.TensorType.INT16,
         np.dtype(np.int32): schema.TensorType.INT32, np.dtype(np.int64): schema.TensorType.INT64}
RELU, RELU_N1_TO_1, RELU6 = 1, 2, 3
SAME, VALID = 0, 1


class Graph:
    """One subgraph under construction; tensors are numbers."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = b"tandem"
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, shape: list[int], dtype: Any, scale: Any = None, zero: Any = 0,
               axis: int = 0, data: np.ndarray | None = None, name: str = "") -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), TYPES[np.dtype(dtype)]
        tensor.name = name or f"t{len(self.graph.tensors)}"
        tensor.buffer = 0
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization.scale = [float(s) for s in scales]
            tensor.quantization.zeroPoint = [int(zero)] * scales.size
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, shape: list[int], dtype: Any, scale: Any = None, zero: int = 0) -> int:
        index = self.tensor(shape, dtype, scale, zero, name=f"x{len(self.graph.inputs)}")
        self.graph.inputs.append(index)
        return index

    def codes(self, shape: list[int], scale: Any, dtype: Any = np.int8, axis: int = 0,
              zero: int = 0, low: int | None = None) -> int:
        """Constant random codes."""
        kind = np.iinfo(dtype)
        low = kind.min + (1 if zero == 0 else 0) if low is None else low
        data = self.random.integers(low, kind.max, shape, endpoint=True)
        return self.tensor(shape, dtype, scale, zero, axis, data.astype(dtype))

    def bias(self, count: int, scale: Any, dtype: Any = np.int32, reach: int = 4000) -> int:
        data = self.random.integers(-reach, reach, [count])
        return self.tensor([count], dtype, scale, 0, 0, data.astype(dtype))

    def reals(self, shape: list[int]) -> int:
        return self.tensor(shape, np.float32, data=self.random.uniform(-1, 1, shape))

    def integers(self, values: Any, dtype: Any = np.int32) -> int:
        array = np.asarray(values, dtype)
        return self.tensor(list(array.shape), dtype, data=array)

    def op(self, name: str, inputs: list[int], outputs: list[int], options: Any = None,
           custom: str = "") -> None:
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, name)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = 1
        if custom:
            code.customCode = custom
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def bytes(self, outputs: list[int] | None = None) -> bytes:
        if outputs is not None:
            self.graph.outputs = outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind: str, **values: Any) -> Any:
    result = getattr(schema, kind + "T")()
    for name, value in values.items():
        if not hasattr(result, name):
            raise AttributeError(f"{kind} has no {name}")
        setattr(result, name, value)
    return result


# ---- Cases ---------------------------------------------------------------------------------------

CASES: dict[str, tuple[bytes, int]] = {}  # the model, and how many random inputs it gets


def case(name: str, graph: Graph, outputs: list[int], samples: int = 3) -> None:
    CASES[name] = (graph.bytes(outputs), samples)


def conv_options(kind: str, padding: int = SAME, stride: int = 1, dilation: int = 1,
                 activation: int = 0, **more: Any) -> Any:
    values = {"padding": padding, "strideW": stride, "strideH": stride,
              "fusedActivationFunction": activation, **more}
    if kind != "TransposeConvOptions":
        values |= {"dilationWFactor": dilation, "dilationHFactor": dilation}
    return options(kind, **values)


def convolutions() -> None:
    for seed, (name, padding, stride, dilation, activation, zero) in enumerate([
            ("same", SAME, 1, 1, 0, 3), ("strided", SAME, 2, 1, RELU, -128),
            ("valid", VALID, 1, 1, RELU6, -20), ("dilated", SAME, 1, 2, RELU_N1_TO_1, 5)]):
        g = Graph(seed)
        scales = g.random.uniform(0.002, 0.02, 5)
        x = g.input([1, 7, 6, 4], np.int8, 0.05, -7)
        w = g.codes([5, 3, 2, 4], scales)
        b = g.bias(5, 0.05 * scales)
        height, width = {"same": (7, 6), "strided": (4, 3), "valid": (5, 5), "dilated": (7, 6)}[name]
        y = g.tensor([1, height, width, 5], np.int8, 0.07, zero)
        g.op("CONV_2D", [x, w, b], [y],
             conv_options("Conv2DOptions", padding, stride, dilation, activation))
        case(f"conv_{name}", g, [y])
    g = Graph(10)
    x, w = g.input([1, 5, 5, 4], np.int8, 0.05, -7), g.codes([4, 3, 3, 2], 0.01)
    y = g.tensor([1, 5, 5, 4], np.int8, 0.2, 1)
    g.op("CONV_2D", [x, w, g.bias(4, 0.05 * 0.01)], [y], conv_options("Conv2DOptions"))
    case("conv_grouped", g, [y])
    g = Graph(11)  # channels that are switched off: tiny scales, biases at their limits
    scales = np.array([0.01, 1e-9, 3e-12, 2e-8, 5e-10])
    x, w = g.input([1, 3, 3, 2], np.int8, 0.05, 4), g.codes([5, 1, 1, 2], scales)
    data = np.array([100, 1 << 30, -(1 << 30), 1 << 29, 77], np.int32)
    y = g.tensor([1, 3, 3, 5], np.int8, 0.05, -128)
    g.op("CONV_2D", [x, w, g.tensor([5], np.int32, 0.05 * scales, data=data)], [y],
         conv_options("Conv2DOptions", activation=RELU))
    case("conv_dead_channels", g, [y])
    for seed, (name, multiplier, padding, stride, activation) in enumerate([
            ("one", 1, SAME, 1, RELU), ("two", 2, SAME, 2, 0), ("valid", 1, VALID, 1, RELU6)]):
        g = Graph(20 + seed)
        count = 3 * multiplier
        scales = g.random.uniform(0.002, 0.02, count)
        x, w = g.input([1, 6, 5, 3], np.int8, 0.05, -128), g.codes([1, 3, 3, count], scales, axis=3)
        b = g.bias(count, 0.05 * scales)
        height, width = {"one": (6, 5), "two": (3, 3), "valid": (4, 3)}[name]
        y = g.tensor([1, height, width, count], np.int8, 0.06, -128 if activation else 9)
        g.op("DEPTHWISE_CONV_2D", [x, w, b], [y],
             conv_options("DepthwiseConv2DOptions", padding, stride, activation=activation,
                          depthMultiplier=multiplier))
        case(f"depthwise_{name}", g, [y])
    g = Graph(30)
    scales = g.random.uniform(0.002, 0.02, 4)
    x, w = g.input([1, 5, 5, 3], np.int16, 0.0005), g.codes([4, 3, 3, 3], scales)
    y = g.tensor([1, 5, 5, 4], np.int16, 0.0007)
    g.op("CONV_2D", [x, w, g.bias(4, 0.0005 * scales, np.int64, 100000)], [y],
         conv_options("Conv2DOptions", activation=RELU))
    case("conv_int16", g, [y])
    g = Graph(31)
    x, w = g.input([1, 5, 5, 3], np.float32), g.reals([4, 3, 3, 3])
    y = g.tensor([1, 5, 5, 4], np.float32)
    g.op("CONV_2D", [x, w, g.reals([4])], [y], conv_options("Conv2DOptions", activation=RELU6))
    case("conv_float", g, [y])


def transposed_convolutions() -> None:
    for seed, (name, padding, stride, size) in enumerate(
            [("same", SAME, 2, (8, 6)), ("valid", VALID, 2, (9, 7)), ("dense", SAME, 1, (4, 3))]):
        g = Graph(40 + seed)
        scales = g.random.uniform(0.002, 0.02, 3)
        x, w = g.input([1, 4, 3, 2], np.int8, 0.05, -3), g.codes([3, 3, 3, 2], scales)
        y = g.tensor([1, *size, 3], np.int8, 0.04, 2)
        g.op("TRANSPOSE_CONV", [g.integers([1, *size, 3]), w, x, g.bias(3, 0.05 * scales)], [y],
             conv_options("TransposeConvOptions", padding, stride))
        case(f"transpose_conv_{name}", g, [y])


def matrices() -> None:
    for seed, (name, activation, zero, scale) in enumerate([
            ("plain", 0, 14, 0.09), ("relu", RELU, -128, 0.05), ("fine", 0, -3, 0.004)]):
        g = Graph(50 + seed)
        x, w = g.input([1, 24], np.int8, 0.391, 89 if seed == 0 else -128), g.codes([10, 24], 0.003)
        y = g.tensor([1, 10], np.int8, scale, zero)
        g.op("FULLY_CONNECTED", [x, w, g.bias(10, 0.391 * 0.003)], [y],
             options("FullyConnectedOptions", fusedActivationFunction=activation))
        case(f"fully_connected_{name}", g, [y], 8)
    g = Graph(55)
    x, w = g.input([1, 2, 3, 4], np.int8, 0.02, 7), g.codes([5, 4], 0.01)
    y = g.tensor([1, 2, 3, 5], np.int8, 0.03, 0)
    g.op("FULLY_CONNECTED", [x, w, -1], [y], options("FullyConnectedOptions", keepNumDims=True))
    case("fully_connected_rows", g, [y])
    g = Graph(56)
    scales = g.random.uniform(0.002, 0.02, 6)
    x, w = g.input([1, 9], np.int8, 0.02, 7), g.codes([6, 9], scales)
    y = g.tensor([1, 6], np.int8, 0.03, 5)
    g.op("FULLY_CONNECTED", [x, w, g.bias(6, 0.02 * scales)], [y], options("FullyConnectedOptions"))
    case("fully_connected_channels", g, [y])
    g = Graph(57)
    x, w = g.input([1, 9], np.int16, 0.001), g.codes([6, 9], 0.01)
    y = g.tensor([1, 6], np.int16, 0.002)
    g.op("FULLY_CONNECTED", [x, w, g.bias(6, 0.001 * 0.01, np.int64)], [y],
         options("FullyConnectedOptions"))
    case("fully_connected_int16", g, [y])
    g = Graph(58)
    half = g.tensor([4, 6], np.float16, data=g.random.uniform(-1, 1, [4, 6]))
    x, w = g.input([1, 6], np.float32), g.tensor([4, 6], np.float32)
    y = g.tensor([1, 4], np.float32)
    g.op("DEQUANTIZE", [half], [w])
    g.op("FULLY_CONNECTED", [x, w, g.reals([4])], [y],
         options("FullyConnectedOptions", fusedActivationFunction=RELU))
    case("fully_connected_half", g, [y])


def hybrids() -> None:
    for name, per_channel in [("tensor", False), ("channels", True)]:
        g = Graph(65)
        scales = g.random.uniform(0.002, 0.02, 4) if per_channel else 0.01
        x, w = g.input([1, 5, 5, 3], np.float32), g.codes([4, 3, 3, 3], scales)
        y = g.tensor([1, 5, 5, 4], np.float32)
        g.op("CONV_2D", [x, w, g.reals([4])], [y], conv_options("Conv2DOptions", activation=RELU))
        case(f"hybrid_conv_{name}", g, [y])
    for name, asymmetric in [("symmetric", False), ("asymmetric", True)]:
        g = Graph(66)
        x, w = g.input([1, 24], np.float32), g.codes([6, 24], 0.01)
        y = g.tensor([1, 6], np.float32)
        g.op("FULLY_CONNECTED", [x, w, g.reals([6])], [y],
             options("FullyConnectedOptions", asymmetricQuantizeInputs=asymmetric))
        case(f"hybrid_fully_connected_{name}", g, [y])


def pools() -> None:
    for kind in ["AVERAGE_POOL_2D", "MAX_POOL_2D"]:
        for padding, size, activation in [(SAME, (3, 3), 0), (VALID, (2, 2), RELU)]:
            g = Graph(60 + padding)
            x = g.input([1, 5, 6, 3], np.int8, 0.05, -9)
            y = g.tensor([1, *size, 3], np.int8, 0.05, -9)
            g.op(kind, [x], [y],
                 options("Pool2DOptions", padding=padding, strideW=2, strideH=2, filterWidth=3,
                         filterHeight=2, fusedActivationFunction=activation))
            name = "average" if kind.startswith("A") else "max"
            case(f"{name}_pool_{'same' if padding == SAME else 'valid'}", g, [y])


def sums_and_products() -> None:
    for kind in ["Add", "Sub", "Mul"]:
        for name, shape, scales, activation in [
                ("plain", [1, 3, 4, 5], (0.05, 0.013, 0.06), 0),
                ("relu", [1, 3, 4, 5], (0.02, 0.02, 0.011), RELU),
                ("broadcast", [1, 1, 1, 5], (0.004, 0.9, 0.7), 0)]:
            g = Graph(70)
            a = g.input([1, 3, 4, 5], np.int8, scales[0], -128 if activation else 11)
            b = g.input(shape, np.int8, scales[1], -4)
            y = g.tensor([1, 3, 4, 5], np.int8, scales[2] * (0.2 if kind == "Mul" else 1), -17)
            g.op(kind.upper(), [a, b], [y],
                 options(f"{kind}Options", fusedActivationFunction=activation))
            case(f"{kind.lower()}_{name}", g, [y])
        g = Graph(75)
        a, b = g.input([1, 4, 5], np.int8, 0.03, 2), g.codes([5], 0.02, zero=-5)
        y = g.tensor([1, 4, 5], np.int8, 0.01 if kind == "Mul" else 0.04, 1)
        g.op(kind.upper(), [a, b], [y], options(f"{kind}Options"))
        case(f"{kind.lower()}_constant", g, [y])
        g = Graph(76)
        a, b = g.input([1, 4], np.int16, 0.0003), g.input([1, 4], np.int16, 0.0007)
        y = g.tensor([1, 4], np.int16, 0.002)
        g.op(kind.upper(), [a, b], [y], options(f"{kind}Options"))
        case(f"{kind.lower()}_int16", g, [y], 8)
        g = Graph(77)
        a, y = g.input([1, 4, 5], np.float32), g.tensor([1, 4, 5], np.float32)
        g.op(kind.upper(), [a, g.reals([5])], [y],
             options(f"{kind}Options", fusedActivationFunction=RELU))
        case(f"{kind.lower()}_float", g, [y])
    for kind in ["MAXIMUM", "MINIMUM"]:
        g = Graph(78)
        a, b = g.input([1, 4, 5], np.int8, 0.03, 2), g.input([1, 1, 5], np.int8, 0.03, 2)
        y = g.tensor([1, 4, 5], np.int8, 0.03, 2)
        g.op(kind, [a, b], [y], options("MaximumMinimumOptions"))
        case(kind.lower(), g, [y])


def quantizers() -> None:
    for name, to, scale, zero in [("int8", np.int8, 0.031, -5), ("finer", np.int8, 0.004, 100),
                                  ("int16", np.int16, 0.0002, 0)]:
        g = Graph(80)
        x, y = g.input([1, 256], np.int8, 0.02, 3), g.tensor([1, 256], to, scale, zero)
        g.op("QUANTIZE", [x], [y], options("QuantizeOptions"))
        case(f"requantize_{name}", g, [y], 1)
    g = Graph(81)
    x, q = g.input([1, 64], np.float32), g.tensor([1, 64], np.int8, 1 / 64, 0)
    y = g.tensor([1, 64], np.float32)
    g.op("QUANTIZE", [x], [q], options("QuantizeOptions"))
    g.op("DEQUANTIZE", [q], [y], options("DequantizeOptions"))
    case("quantize_reals", g, [y], 1)


def functions() -> None:
    def unary(name: str, kind: str, x_scale: float, x_zero: int, y_scale: float, y_zero: int,
              option: Any = None) -> None:
        g = Graph(90)
        x, y = g.input([1, 256], np.int8, x_scale, x_zero), g.tensor([1, 256], np.int8, y_scale, y_zero)
        g.op(kind, [x], [y], option)
        case(name, g, [y], 1)

    for name, scale, zero in [("narrow", 0.01, -20), ("usual", 0.05, 4), ("wide", 0.3, -128)]:
        unary(f"logistic_{name}", "LOGISTIC", scale, zero, 1 / 256, -128)
        unary(f"tanh_{name}", "TANH", scale, zero, 1 / 128, 0)
        unary(f"hard_swish_{name}", "HARD_SWISH", scale, zero, scale * 0.9, -100)
        unary(f"leaky_relu_{name}", "LEAKY_RELU", scale, zero, scale * 0.8, -70,
              options("LeakyReluOptions", alpha=0.3))
        unary(f"relu_{name}", "RELU", scale, zero, scale * 1.1, -128)
    unary("relu6", "RELU6", 0.09, 3, 0.09, 3)
    for kind in ["LOGISTIC", "TANH", "HARD_SWISH", "RELU", "RELU6"]:
        g = Graph(91)
        x, y = g.input([1, 32], np.float32), g.tensor([1, 32], np.float32)
        g.op(kind, [x], [y])
        case(f"{kind.lower()}_float", g, [y])
    g = Graph(92)
    x, alpha = g.input([1, 8, 8, 3], np.int8, 0.04, 9), g.codes([1, 1, 3], 0.005, zero=-12)
    y = g.tensor([1, 8, 8, 3], np.int8, 0.03, -60)
    g.op("PRELU", [x, alpha], [y])
    case("prelu", g, [y])


def softmaxes() -> None:
    for classes, scale, beta in [(2, 0.014, 1.0), (12, 0.1447, 1.0), (10, 0.5, 1.0), (37, 0.02, 2.5),
                                 (100, 1.5, 1.0)]:
        g = Graph(100)
        x, y = g.input([1, classes], np.int8, scale, 14), g.tensor([1, classes], np.int8, 1 / 256, -128)
        g.op("SOFTMAX", [x], [y], options("SoftmaxOptions", beta=beta))
        case(f"softmax_{classes}", g, [y], 10)
    g = Graph(101)
    x, y = g.input([1, 3, 7], np.int8, 0.1, 14), g.tensor([1, 3, 7], np.int8, 1 / 256, -128)
    g.op("SOFTMAX", [x], [y], options("SoftmaxOptions", beta=1.0))
    case("softmax_rows", g, [y])
    g = Graph(102)
    x, y = g.input([1, 7], np.float32), g.tensor([1, 7], np.float32)
    g.op("SOFTMAX", [x], [y], options("SoftmaxOptions", beta=2.0))
    case("softmax_float", g, [y])


def movements() -> None:
    def moved(name: str, kind: str, shape: list[int], to: list[int], more: Callable[[Graph], list[int]],
              option: Any = None, dtype: Any = np.int8) -> None:
        g = Graph(110)
        scale, zero = (0.05, -9) if dtype == np.int8 else (None, 0)
        x = g.input(shape, dtype, scale, zero)
        y = g.tensor(to, dtype, scale, zero)
        g.op(kind, [x, *more(g)], [y], option)
        case(name, g, [y], 2)

    nothing: Callable[[Graph], list[int]] = lambda _: []
    moved("reshape", "RESHAPE", [1, 4, 3], [1, 12], lambda g: [g.integers([1, 12])],
          options("ReshapeOptions", newShape=[1, 12]))
    moved("squeeze", "SQUEEZE", [1, 1, 5], [1, 5], nothing, options("SqueezeOptions", squeezeDims=[1]))
    moved("expand_dims", "EXPAND_DIMS", [1, 5], [1, 1, 5], lambda g: [g.integers([1])])
    moved("transpose", "TRANSPOSE", [1, 4, 3, 2], [1, 2, 4, 3], lambda g: [g.integers([0, 3, 1, 2])])
    pads = [[0, 0], [1, 2], [0, 3], [0, 0]]
    moved("pad", "PAD", [1, 4, 3, 2], [1, 7, 6, 2], lambda g: [g.integers(pads)])
    moved("pad_value", "PADV2", [1, 4, 3, 2], [1, 7, 6, 2],
          lambda g: [g.integers(pads), g.tensor([1], np.int8, 0.05, -9, data=np.array([77]))])
    moved("mirror_pad", "MIRROR_PAD", [1, 4, 3, 2], [1, 7, 5, 2],
          lambda g: [g.integers([[0, 0], [1, 2], [1, 1], [0, 0]])], options("MirrorPadOptions"))
    moved("slice", "SLICE", [1, 4, 5], [1, 2, 4], lambda g: [g.integers([0, 1, 1]), g.integers([1, 2, -1])])
    moved("strided_slice", "STRIDED_SLICE", [1, 6, 5], [1, 3, 3],
          lambda g: [g.integers([0, 1, 0]), g.integers([1, 6, 9]), g.integers([1, 2, 2])],
          options("StridedSliceOptions", beginMask=4, endMask=4))
    moved("strided_slice_shrunk", "STRIDED_SLICE", [1, 6, 5], [1, 5],
          lambda g: [g.integers([0, -2, 0]), g.integers([1, 0, 5]), g.integers([1, 1, 1])],
          options("StridedSliceOptions", shrinkAxisMask=2))
    moved("depth_to_space", "DEPTH_TO_SPACE", [1, 2, 3, 8], [1, 4, 6, 2], nothing,
          options("DepthToSpaceOptions", blockSize=2))
    moved("space_to_depth", "SPACE_TO_DEPTH", [1, 4, 6, 2], [1, 2, 3, 8], nothing,
          options("SpaceToDepthOptions", blockSize=2))
    moved("gather", "GATHER", [1, 4, 5], [1, 3, 5], lambda g: [g.integers([2, 0, 2])],
          options("GatherOptions", axis=1))
    for name, align, half in [("plain", False, False), ("aligned", True, False), ("half", False, True)]:
        nearest = options("ResizeNearestNeighborOptions", alignCorners=align, halfPixelCenters=half)
        moved(f"resize_nearest_{name}", "RESIZE_NEAREST_NEIGHBOR", [1, 3, 4, 2], [1, 5, 7, 2],
              lambda g: [g.integers([5, 7])], nearest)
        bilinear = options("ResizeBilinearOptions", alignCorners=align, halfPixelCenters=half)
        for dtype in (np.int8, np.float32):
            moved(f"resize_bilinear_{name}_{np.dtype(dtype).name}", "RESIZE_BILINEAR", [1, 3, 4, 2],
                  [1, 5, 7, 2], lambda g: [g.integers([5, 7])], bilinear, dtype)
    moved("resize_bilinear_smaller", "RESIZE_BILINEAR", [1, 9, 8, 2], [1, 4, 3, 2],
          lambda g: [g.integers([4, 3])], options("ResizeBilinearOptions", halfPixelCenters=True))
    g = Graph(111)
    parts = [g.input([1, 2, n], np.int8, 0.05, 3) for n in (2, 3)]
    y = g.tensor([1, 2, 5], np.int8, 0.05, 3)
    g.op("CONCATENATION", parts, [y], options("ConcatenationOptions", axis=-1))
    case("concatenation", g, [y])
    g = Graph(112)
    x = g.input([1, 6, 2], np.int8, 0.05, 3)
    ys = [g.tensor([1, 3, 2], np.int8, 0.05, 3) for _ in range(2)]
    g.op("SPLIT", [g.integers([1]), x], ys, options("SplitOptions", numSplits=2))
    case("split", g, ys)
    g = Graph(113)
    x = g.input([1, 6, 2], np.int8, 0.05, 3)
    ys = [g.tensor([1, n, 2], np.int8, 0.05, 3) for n in (1, 3, 2)]
    g.op("SPLIT_V", [x, g.integers([1, 3, 2]), g.integers([1])], ys, options("SplitVOptions", numSplits=3))
    case("split_v", g, ys)
    g = Graph(114)
    parts = [g.input([1, 3], np.int8, 0.05, 3) for _ in range(2)]
    y = g.tensor([1, 2, 3], np.int8, 0.05, 3)
    g.op("PACK", parts, [y], options("PackOptions", valuesCount=2, axis=1))
    case("pack", g, [y])


def reductions() -> None:
    for name, shape, axes, keep, scale, zero in [
            ("spatial", [1, 5, 4, 3], [1, 2], False, 0.05, -9), ("rescaled", [1, 7, 7, 3], [1, 2], True, 0.031, 20),
            ("last", [1, 4, 6], [-1], False, 0.02, 0), ("same", [1, 6, 6, 2], [1, 2], False, 0.05, -9)]:
        g = Graph(120)
        x = g.input(shape, np.int8, 0.05, -9)
        dropped = [a % len(shape) for a in axes]
        to = [1 if d in dropped else n for d, n in enumerate(shape)]
        to = to if keep else [n for d, n in enumerate(shape) if d not in dropped]
        y = g.tensor(to, np.int8, scale, zero)
        g.op("MEAN", [x, g.integers(axes)], [y], options("ReducerOptions", keepDims=keep))
        case(f"mean_{name}", g, [y], 6)
    g = Graph(121)
    x, y = g.input([1, 4, 6], np.int8, 0.05, 3), g.tensor([1, 6], np.int8, 0.05, 3)
    g.op("REDUCE_MAX", [x, g.integers([1])], [y], options("ReducerOptions"))
    case("reduce_max", g, [y])


# ---- Results -------------------------------------------------------------------------------------

def numpy_type(tensor: Any) -> np.dtype:
    return next(dtype for dtype, code in TYPES.items() if code == tensor.type)


def random_input(tensor: Any, sample: int, random: np.random.Generator) -> np.ndarray:
    dtype, shape = numpy_type(tensor), list(tensor.shape)
    if dtype == np.float32:
        return random.uniform(-3, 3, shape).astype(np.float32)
    kind = np.iinfo(dtype)
    if shape == [1, 256]:
        return np.arange(kind.min, kind.max + 1, 1 if dtype == np.int8 else 256)[:256].reshape(1, 256).astype(dtype)
    if sample < 2:
        return np.full(shape, kind.max if sample else kind.min, dtype)
    return random.integers(kind.min, kind.max, shape, dtype, endpoint=True)


def run(data: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)).subgraphs[0]
    if any(graph.tensors[i].type == schema.TensorType.FLOAT32 for i in graph.outputs):
        interpreter = litert.Interpreter(
            model_content=data, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        for index, array in zip(graph.inputs, inputs):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(i) for i in graph.outputs]
    interpreter = micro.Interpreter.from_bytes(data, arena_size=1 << 20)
    for position, array in enumerate(inputs):
        interpreter.set_input(array, position)
    interpreter.invoke()
    return [interpreter.get_output(i) for i in range(len(graph.outputs))]


def golden_arrays() -> dict[str, np.ndarray]:
    """Samples along the first axis, which is 1 in every model."""
    arrays: dict[str, np.ndarray] = {}
    for name, (data, samples) in CASES.items():
        graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)).subgraphs[0]
        random = np.random.default_rng(len(name))
        given, computed = [], []
        try:
            for sample in range(samples):
                given.append([random_input(graph.tensors[i], sample, random) for i in graph.inputs])
                computed.append(run(data, given[-1]))
        except RuntimeError as error:
            raise SystemExit(f"{name}: {error}") from error
        arrays[f"{name}/model"] = np.frombuffer(data, np.uint8)
        for position, index in enumerate(graph.inputs):
            key = f"{name}/in/{graph.tensors[index].name.decode()}"
            arrays[key] = np.concatenate([values[position] for values in given])
        for position, index in enumerate(graph.outputs):
            key = f"{name}/out/{graph.tensors[index].name.decode()}"
            arrays[key] = np.concatenate([values[position] for values in computed])
    return arrays


# ---- Refused -------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[bytes, str]] = {}


def small() -> tuple[Graph, int, int]:
    """x -> RELU -> y."""
    g = Graph(0)
    x, y = g.input([1, 6], np.int8, 0.05, -128), g.tensor([1, 6], np.int8, 0.05, -128)
    g.op("RELU", [x], [y])
    return g, x, y


def edited(name: str, message: str, edit: Callable[[Graph, Any, Any], None]) -> None:
    g, x, y = small()
    g.graph.outputs = [y]
    edit(g, g.graph.tensors[x], g.graph.tensors[y])
    REFUSED[name] = (g.bytes(), message)


def damaged_files() -> None:
    g, _, y = small()
    data = g.bytes([y])
    REFUSED["empty"] = (b"", "is no TensorFlow Lite model")
    REFUSED["text"] = (b"tandem-module 1" * 9, "is no TensorFlow Lite model")
    REFUSED["half"] = (data[:len(data) // 2], "is damaged")
    broken = bytearray(data)
    broken[0:4] = (len(data) * 2).to_bytes(4, "little")
    REFUSED["root_offset"] = (bytes(broken), "is damaged")


def damaged_models() -> None:
    def setting(target: str, field: str, value: Any) -> Callable[[Graph, Any, Any], None]:
        def edit(g: Graph, x: Any, y: Any) -> None:
            place = {"model": g.model, "graph": g.graph, "x": x, "y": y, "op": g.graph.operators[0],
                     "quantization": y.quantization, "code": g.model.operatorCodes[0]}[target]
            setattr(place, field, value)
        return edit

    edited("version", "schema version 2", setting("model", "version", 2))
    edited("no_subgraph", "has no subgraph", setting("model", "subgraphs", []))
    edited("no_outputs", "has no outputs", setting("graph", "outputs", []))
    edited("output_index", "lists tensor 9 of 2", setting("graph", "outputs", [9]))
    edited("operator_code", "refers to operator code 7 of 1", setting("op", "opcodeIndex", 7))
    edited("input_index", "an input is tensor 5 of 2", setting("op", "inputs", [5]))
    edited("output_absent", "an output is tensor -1", setting("op", "outputs", [-1]))
    edited("buffer_index", "refers to buffer 4 of 1", setting("x", "buffer", 4))
    edited("scale_zero", "has the scale 0", setting("quantization", "scale", [0.0]))
    edited("scale_nan", "has the scale nan", setting("quantization", "scale", [float("nan")]))
    edited("zero_point", "the zero point 300, which is no code", setting("quantization", "zeroPoint", [300]))
    edited("zero_points", "has 1 scales and 2 zero points", setting("quantization", "zeroPoint", [1, 2]))
    edited("scales", "has 2 scales for its axis 0", setting("quantization", "scale", [0.1, 0.2]))
    edited("unknown_type", "has elements of type", setting("x", "type", 77))
    edited("strings", "has elements of type STRING", setting("y", "type", schema.TensorType.STRING))
    edited("huge", "elements", setting("x", "shape", [2**31 - 1] * 4))
    edited("axes", "has 9 axes", setting("x", "shape", [1] * 9))
    edited("dynamic", "is dynamic; convert the model with fixed", setting("x", "shapeSignature", [-1, -1]))
    edited("shape", "it computes int8[1,6] where the file declares int8[1,5]", setting("y", "shape", [1, 5]))
    edited("variable", "keeps its value between calls", setting("y", "isVariable", True))
    edited("code", "(operator code 5000): this operator is not read", setting("code", "builtinCode", 5000))
    edited("no_input", "input 0 is absent", setting("op", "inputs", []))
    edited("extra_input", "input 1 has no meaning here", setting("op", "inputs", [0, 0]))
    edited("reads_itself", "which nothing computes before it", setting("op", "inputs", [1]))


def unread_operators() -> None:
    def custom(g: Graph, x: Any, y: Any) -> None:
        g.model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        g.model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        g.model.operatorCodes[0].customCode = "MyOp"

    def several(g: Graph, x: Any, y: Any) -> None:
        z = g.tensor([1, 6], np.int8, 0.05, -128)
        w = g.tensor([1, 6], np.int8, 0.05, -128)
        g.op("CUSTOM", [1], [z], custom="Other")
        g.op("LSTM", [z], [w])
        g.graph.outputs = [w]

    def twice(g: Graph, x: Any, y: Any) -> None:
        g.op("RELU", [0], [1])

    def two_results(g: Graph, x: Any, y: Any) -> None:
        g.graph.operators[0].outputs = [1, g.tensor([1, 6], np.int8, 0.05, -128)]

    def rescaled(g: Graph, x: Any, y: Any) -> None:
        z = g.tensor([1, 6], np.int8, 0.07, -128)
        g.op("RESHAPE", [1], [z])
        g.graph.outputs = [z]

    edited("custom", "(CUSTOM 'MyOp'): custom operators have no meaning in the file", custom)
    edited("several", "2 nodes cannot be read", several)
    edited("several_first", "operator 1, t2' (CUSTOM 'Other')", several)
    edited("several_second", "operator 2, t3' (LSTM): this operator is not read", several)
    edited("written_twice", "which is already computed", twice)
    edited("two_results", "has no meaning here", two_results)
    edited("moved_rescaled", "which has another scale or zero point", rescaled)


def layers_refused() -> None:
    def layer(name: str, message: str, change: Callable[[Any, Any], None], **window: Any) -> None:
        g = Graph(3)
        x, w = g.input([1, 5, 5, 2], np.int8, 0.05, 3), g.codes([3, 3, 3, 2], [0.01, 0.02, 0.03])
        y = g.tensor([1, 5, 5, 3], np.int8, 0.1, 0)
        g.op("CONV_2D", [x, w, g.bias(3, 0.01)], [y], conv_options("Conv2DOptions", **window))
        change(g, g.graph.tensors[w])
        REFUSED[name] = (g.bytes([y]), message)

    def nothing(g: Any, w: Any) -> None:
        del g, w

    def other_axis(g: Any, w: Any) -> None:
        del g
        w.quantization.quantizedDimension = 1

    def short(g: Any, w: Any) -> None:
        g.model.buffers[w.buffer].data = g.model.buffers[w.buffer].data[:-1]

    def no_options(g: Any, w: Any) -> None:
        del w
        g.graph.operators[0].builtinOptionsType = 0
        g.graph.operators[0].builtinOptions = None

    def float_bias(g: Any, w: Any) -> None:
        del w
        g.graph.tensors[3].type = schema.TensorType.FLOAT32
        g.graph.tensors[3].quantization = None

    layer("stride", "must lie in [1,65536]", nothing, stride=0)
    layer("activation", "fused activation function is not read", nothing, activation=4)
    layer("weight_axis", "have scales along axis 1", other_axis)
    layer("weight_bytes", "has 53 bytes where its shape needs 54", short)
    layer("no_options", "its options are missing", no_options)
    layer("float_bias", "its bias is", float_bias)
    g = Graph(4)
    x, y = g.input([1, 3], np.float32), g.tensor([1, 3], np.float32)
    g.op("ADD", [x, g.tensor([3], np.float32, data=np.array([1, np.nan, 2]))], [y], options("AddOptions"))
    REFUSED["nan"] = (g.bytes([y]), "contains NaN")


def refused_arrays() -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, (data, message) in REFUSED.items():
        arrays[f"{name}/model"] = np.frombuffer(data, np.uint8)
        arrays[f"{name}/error"] = np.frombuffer(message.encode(), np.uint8)
    return arrays


# Small models of all kinds, from which the fuzzer starts.
SEEDS = ["conv_strided", "conv_dead_channels", "conv_int16", "conv_float", "depthwise_two",
         "transpose_conv_same", "fully_connected_plain", "fully_connected_half", "average_pool_same",
         "max_pool_valid", "add_broadcast", "sub_constant", "mul_constant", "maximum",
         "quantize_reals", "logistic_usual", "hard_swish_usual", "leaky_relu_usual", "prelu",
         "softmax_12", "softmax_float", "pad_value", "strided_slice_shrunk", "depth_to_space",
         "gather", "resize_nearest_half", "resize_bilinear_half_int8", "concatenation", "split",
         "split_v", "pack", "mean_spatial", "reduce_max"]
SEEDS_REFUSED = ["several", "dynamic", "variable", "custom"]


def write_seeds() -> None:
    folder = FOLDER.parents[1] / "fuzz" / "corpus" / "tflite"
    folder.mkdir(parents=True, exist_ok=True)
    for name in SEEDS:
        (folder / f"{name}.tflite").write_bytes(CASES[name][0])
    for name in SEEDS_REFUSED:
        (folder / f"{name}.tflite").write_bytes(REFUSED[name][0])


def main() -> None:
    for group in (convolutions, transposed_convolutions, matrices, hybrids, pools, sums_and_products, quantizers,
                  functions, softmaxes, movements, reductions):
        group()
    write_archive("tflite", golden_arrays())
    for group in (damaged_files, damaged_models, unread_operators, layers_refused):
        group()
    write_archive("tflite_refused", refused_arrays())
    write_seeds()


if __name__ == "__main__":
    main()
