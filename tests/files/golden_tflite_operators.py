"""Arithmetic, functions, movement and reductions of TensorFlow Lite."""

from collections.abc import Callable
from typing import Any

import numpy as np
from tflite_graphs import RELU, Graph, options

CASES: dict[str, tuple[bytes, int]] = {}


def case(name: str, graph: Graph, outputs: list[int], samples: int = 3) -> None:
    CASES[name] = (graph.bytes(outputs), samples)


def sums_and_products() -> None:
    for kind in ["Add", "Sub", "Mul"]:
        for name, shape, scales, activation in [("plain", [1, 3, 4, 5], (0.05, 0.013, 0.06), 0),
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

    def unary(name: str,
              kind: str,
              x_scale: float,
              x_zero: int,
              y_scale: float,
              y_zero: int,
              option: Any = None) -> None:
        g = Graph(90)
        x, y = g.input([1, 256], np.int8, x_scale, x_zero), g.tensor([1, 256], np.int8, y_scale,
                                                                     y_zero)
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


def wide_functions() -> None:
    """Codes of 16 bits, with scales that are powers of two and others."""
    for name, kind, scale, y_scale, option in [
        ("logistic_power", "LOGISTIC", 2**-12, 2**-15, None),
        ("logistic_other", "LOGISTIC", 0.0003, 2**-15, None),
        ("logistic_narrow", "LOGISTIC", 0.00001, 2**-15, None),
        ("tanh_power", "TANH", 2**-12, 2**-15, None), ("tanh_twice", "TANH", 2**-11, 2**-15, None),
        ("tanh_other", "TANH", 0.0002, 2**-15, None),
        ("leaky_relu", "LEAKY_RELU", 0.0003, 0.0002, options("LeakyReluOptions", alpha=0.3))
    ]:
        g = Graph(93)
        x, y = g.input([1, 512], np.int16, scale), g.tensor([1, 512], np.int16, y_scale)
        g.op(kind, [x], [y], option)
        case(f"{name}_int16", g, [y], 4)
    for classes, scale, beta in [(2, 0.0002, 1.0), (12, 0.0004, 1.0), (40, 0.00005, 2.5)]:
        g = Graph(103)
        x = g.input([1, 2, classes], np.int16, scale)
        y = g.tensor([1, 2, classes], np.int16, 2**-15)
        g.op("SOFTMAX", [x], [y], options("SoftmaxOptions", beta=beta))
        case(f"softmax_{classes}_int16", g, [y], 8)


def softmaxes() -> None:
    for classes, scale, beta in [(2, 0.014, 1.0), (12, 0.1447, 1.0), (10, 0.5, 1.0),
                                 (37, 0.02, 2.5), (100, 1.5, 1.0)]:
        g = Graph(100)
        x, y = g.input([1, classes], np.int8, scale, 14), g.tensor([1, classes], np.int8, 1 / 256,
                                                                   -128)
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

    def moved(name: str,
              kind: str,
              shape: list[int],
              to: list[int],
              more: Callable[[Graph], list[int]],
              option: Any = None,
              dtype: Any = np.int8) -> None:
        g = Graph(110)
        scale, zero = (0.05, -9) if dtype == np.int8 else (None, 0)
        x = g.input(shape, dtype, scale, zero)
        y = g.tensor(to, dtype, scale, zero)
        g.op(kind, [x, *more(g)], [y], option)
        case(name, g, [y], 2)

    nothing: Callable[[Graph], list[int]] = lambda _: []
    moved("reshape", "RESHAPE", [1, 4, 3], [1, 12], lambda g: [g.integers([1, 12])],
          options("ReshapeOptions", newShape=[1, 12]))
    moved("squeeze", "SQUEEZE", [1, 1, 5], [1, 5], nothing,
          options("SqueezeOptions", squeezeDims=[1]))
    moved("expand_dims", "EXPAND_DIMS", [1, 5], [1, 1, 5], lambda g: [g.integers([1])])
    moved("transpose", "TRANSPOSE", [1, 4, 3, 2], [1, 2, 4, 3],
          lambda g: [g.integers([0, 3, 1, 2])])
    pads = [[0, 0], [1, 2], [0, 3], [0, 0]]
    moved("pad", "PAD", [1, 4, 3, 2], [1, 7, 6, 2], lambda g: [g.integers(pads)])
    moved("pad_value", "PADV2", [1, 4, 3, 2], [1, 7, 6, 2],
          lambda g: [g.integers(pads),
                     g.tensor([1], np.int8, 0.05, -9, data=np.array([77]))])
    moved("mirror_pad", "MIRROR_PAD", [1, 4, 3, 2], [1, 7, 5, 2],
          lambda g: [g.integers([[0, 0], [1, 2], [1, 1], [0, 0]])], options("MirrorPadOptions"))
    moved("slice", "SLICE", [1, 4, 5], [1, 2, 4],
          lambda g: [g.integers([0, 1, 1]), g.integers([1, 2, -1])])
    moved("strided_slice", "STRIDED_SLICE", [1, 6, 5], [1, 3, 3],
          lambda g: [g.integers([0, 1, 0]),
                     g.integers([1, 6, 9]),
                     g.integers([1, 2, 2])], options("StridedSliceOptions", beginMask=4, endMask=4))
    moved("strided_slice_shrunk", "STRIDED_SLICE", [1, 6, 5], [1, 5],
          lambda g: [g.integers([0, -2, 0]),
                     g.integers([1, 0, 5]),
                     g.integers([1, 1, 1])], options("StridedSliceOptions", shrinkAxisMask=2))
    moved("depth_to_space", "DEPTH_TO_SPACE", [1, 2, 3, 8], [1, 4, 6, 2], nothing,
          options("DepthToSpaceOptions", blockSize=2))
    moved("space_to_depth", "SPACE_TO_DEPTH", [1, 4, 6, 2], [1, 2, 3, 8], nothing,
          options("SpaceToDepthOptions", blockSize=2))
    moved("gather", "GATHER", [1, 4, 5], [1, 3, 5], lambda g: [g.integers([2, 0, 2])],
          options("GatherOptions", axis=1))
    for name, align, half in [("plain", False, False), ("aligned", True, False),
                              ("half", False, True)]:
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
    g = Graph(115)
    x, c = g.input([1, 2, 3], np.int8, 0.05, 3), g.codes([1, 2, 2], 0.05, zero=3)
    y = g.tensor([1, 2, 5], np.int8, 0.05, 3)
    g.op("CONCATENATION", [c, x], [y], options("ConcatenationOptions", axis=2))
    case("concatenation_constant", g, [y])
    g = Graph(112)
    x = g.input([1, 6, 2], np.int8, 0.05, 3)
    ys = [g.tensor([1, 3, 2], np.int8, 0.05, 3) for _ in range(2)]
    g.op("SPLIT", [g.integers([1]), x], ys, options("SplitOptions", numSplits=2))
    case("split", g, ys)
    g = Graph(113)
    x = g.input([1, 6, 2], np.int8, 0.05, 3)
    ys = [g.tensor([1, n, 2], np.int8, 0.05, 3) for n in (1, 3, 2)]
    g.op("SPLIT_V", [x, g.integers([1, 3, 2]), g.integers([1])], ys,
         options("SplitVOptions", numSplits=3))
    case("split_v", g, ys)
    g = Graph(114)
    parts = [g.input([1, 3], np.int8, 0.05, 3) for _ in range(2)]
    y = g.tensor([1, 2, 3], np.int8, 0.05, 3)
    g.op("PACK", parts, [y], options("PackOptions", valuesCount=2, axis=1))
    case("pack", g, [y])


def reductions() -> None:
    for name, shape, axes, keep, scale, zero in [("spatial", [1, 5, 4, 3], [1, 2], False, 0.05, -9),
                                                 ("rescaled", [1, 7, 7, 3], [1,
                                                                             2], True, 0.031, 20),
                                                 ("last", [1, 4, 6], [-1], False, 0.02, 0),
                                                 ("same", [1, 6, 6, 2], [1, 2], False, 0.05, -9)]:
        g = Graph(120)
        x = g.input(shape, np.int8, 0.05, -9)
        dropped = [a % len(shape) for a in axes]
        to = [1 if d in dropped else n for d, n in enumerate(shape)]
        to = to if keep else [n for d, n in enumerate(shape) if d not in dropped]
        y = g.tensor(to, np.int8, scale, zero)
        g.op("MEAN", [x, g.integers(axes)], [y], options("ReducerOptions", keepDims=keep))
        case(f"mean_{name}", g, [y], 6)
    g = Graph(122)
    x, y = g.input([1, 5, 4, 3], np.int16, 0.001), g.tensor([1, 3], np.int16, 0.0007)
    g.op("MEAN", [x, g.integers([1, 2])], [y], options("ReducerOptions"))
    case("mean_int16", g, [y])
    g = Graph(124)
    x, y = g.input([1, 64], np.int16, 0.001), g.tensor([1, 64], np.int16, 0.0008)
    g.op("RELU", [x], [y])
    case("relu_int16", g, [y])
    g = Graph(121)
    x, y = g.input([1, 4, 6], np.int8, 0.05, 3), g.tensor([1, 6], np.int8, 0.05, 3)
    g.op("REDUCE_MAX", [x, g.integers([1])], [y], options("ReducerOptions"))
    case("reduce_max", g, [y])


def cases() -> dict[str, tuple[bytes, int]]:
    """The models, and how many random inputs each gets."""
    for group in (sums_and_products, quantizers, functions, wide_functions, softmaxes, movements,
                  reductions):
        group()
    return CASES
