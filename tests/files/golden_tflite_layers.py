"""Layers of TensorFlow Lite: convolutions, matrix products and pools."""

import numpy as np
from tflite_graphs import (RELU, RELU6, RELU_N1_TO_1, SAME, TANH, VALID, Graph, conv_options,
                           options)

CASES: dict[str, tuple[bytes, int]] = {}


def case(name: str, graph: Graph, outputs: list[int], samples: int = 3) -> None:
    CASES[name] = (graph.bytes(outputs), samples)


def convolutions() -> None:
    for seed, (name, padding, stride, dilation, activation,
               zero) in enumerate([("same", SAME, 1, 1, 0, 3), ("strided", SAME, 2, 1, RELU, -128),
                                   ("valid", VALID, 1, 1, RELU6, -20),
                                   ("dilated", SAME, 1, 2, RELU_N1_TO_1, 5)]):
        g = Graph(seed)
        scales = g.random.uniform(0.002, 0.02, 5)
        x = g.input([1, 7, 6, 4], np.int8, 0.05, -7)
        w = g.codes([5, 3, 2, 4], scales)
        b = g.bias(5, 0.05 * scales)
        height, width = {
            "same": (7, 6),
            "strided": (4, 3),
            "valid": (5, 5),
            "dilated": (7, 6)
        }[name]
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
    for seed, (name, multiplier, padding, stride,
               activation) in enumerate([("one", 1, SAME, 1, RELU), ("two", 2, SAME, 2, 0),
                                         ("valid", 1, VALID, 1, RELU6)]):
        g = Graph(20 + seed)
        count = 3 * multiplier
        scales = g.random.uniform(0.002, 0.02, count)
        x, w = g.input([1, 6, 5, 3], np.int8, 0.05, -128), g.codes([1, 3, 3, count], scales, axis=3)
        b = g.bias(count, 0.05 * scales)
        height, width = {"one": (6, 5), "two": (3, 3), "valid": (4, 3)}[name]
        y = g.tensor([1, height, width, count], np.int8, 0.06, -128 if activation else 9)
        g.op(
            "DEPTHWISE_CONV_2D", [x, w, b], [y],
            conv_options("DepthwiseConv2DOptions",
                         padding,
                         stride,
                         activation=activation,
                         depthMultiplier=multiplier))
        case(f"depthwise_{name}", g, [y])
    g = Graph(30)
    scales = g.random.uniform(0.002, 0.02, 4)
    x, w = g.input([1, 5, 5, 3], np.int16, 0.0005), g.codes([4, 3, 3, 3], scales)
    y = g.tensor([1, 5, 5, 4], np.int16, 0.0007)
    g.op("CONV_2D", [x, w, g.bias(4, 0.0005 * scales, np.int64, 100000)], [y],
         conv_options("Conv2DOptions", activation=RELU))
    case("conv_int16", g, [y])
    g = Graph(32)
    scales = g.random.uniform(0.002, 0.02, 3)
    x, w = g.input([1, 5, 5, 3], np.int16, 0.0005), g.codes([1, 3, 3, 3], scales, axis=3)
    y = g.tensor([1, 5, 5, 3], np.int16, 0.0007)
    g.op("DEPTHWISE_CONV_2D", [x, w, g.bias(3, 0.0005 * scales, np.int64, 100000)], [y],
         conv_options("DepthwiseConv2DOptions", depthMultiplier=1))
    case("depthwise_int16", g, [y])
    g = Graph(31)
    x, w = g.input([1, 5, 5, 3], np.float32), g.reals([4, 3, 3, 3])
    y = g.tensor([1, 5, 5, 4], np.float32)
    g.op("CONV_2D", [x, w, g.reals([4])], [y], conv_options("Conv2DOptions", activation=RELU6))
    case("conv_float", g, [y])


def transposed_convolutions() -> None:
    for seed, (name, padding, stride, size) in enumerate([("same", SAME, 2, (8, 6)),
                                                          ("valid", VALID, 2, (9, 7)),
                                                          ("dense", SAME, 1, (4, 3))]):
        g = Graph(40 + seed)
        scales = g.random.uniform(0.002, 0.02, 3)
        x, w = g.input([1, 4, 3, 2], np.int8, 0.05, -3), g.codes([3, 3, 3, 2], scales)
        y = g.tensor([1, *size, 3], np.int8, 0.04, 2)
        g.op("TRANSPOSE_CONV", [g.integers([1, *size, 3]), w, x,
                                g.bias(3, 0.05 * scales)], [y],
             conv_options("TransposeConvOptions", padding, stride))
        case(f"transpose_conv_{name}", g, [y])

    g = Graph(43)
    scales = g.random.uniform(0.002, 0.02, 3)
    x, w = g.input([1, 4, 3, 2], np.int16, 0.0005), g.codes([3, 3, 3, 2], scales)
    y = g.tensor([1, 8, 6, 3], np.int16, 0.0007)
    bias = g.bias(3, 0.0005 * scales, np.int64)
    g.op("TRANSPOSE_CONV", [g.integers([1, 8, 6, 3]), w, x, bias], [y],
         conv_options("TransposeConvOptions", SAME, 2))
    case("transpose_conv_int16", g, [y])


def matrices() -> None:
    for seed, (name, activation, zero, scale) in enumerate([("plain", 0, 14, 0.09),
                                                            ("relu", RELU, -128, 0.05),
                                                            ("fine", 0, -3, 0.004)]):
        g = Graph(50 + seed)
        x, w = g.input([1, 24], np.int8, 0.391, 89 if seed == 0 else -128), g.codes([10, 24], 0.003)
        y = g.tensor([1, 10], np.int8, scale, zero)
        g.op("FULLY_CONNECTED", [x, w, g.bias(10, 0.391 * 0.003)], [y],
             options("FullyConnectedOptions", fusedActivationFunction=activation))
        case(f"fully_connected_{name}", g, [y], 8)
    g = Graph(
        59)  # at the least input the sum is the bias, which tells products in f32 from f64 apart
    x, w = g.input([1, 4], np.int8, 0.024790890514850616, -128), g.codes([1, 4], 0.0195566825568676)
    y = g.tensor([1, 1], np.int8, 0.36449846625328064, 96)
    bias = g.tensor([1], np.int32, 0.0004848276, data=np.array([-88337]))
    g.op("FULLY_CONNECTED", [x, w, bias], [y], options("FullyConnectedOptions"))
    case("fully_connected_scales", g, [y])
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


def sparse_matrices() -> None:
    pattern = Graph(67).random
    for name, order, blocks, formats, dtype in [
        ("rows", [0, 1], {}, ["dense", "Uint8Vector"], np.float32),
        ("columns", [1, 0], {}, ["dense", "Uint16Vector"], np.float32),
        ("blocks", [0, 1, 2, 3], {0: 2, 1: 4}, ["dense", "Int32Vector", "dense", "dense"],
         np.float32),
        ("block_rows", [0, 1, 2], {1: 4}, ["Uint8Vector", "Uint8Vector", "dense"], np.float32),
        ("half", [0, 1], {}, ["dense", "Int32Vector"], np.float16),
        ("codes", [0, 1, 2], {1: 4}, ["dense", "Uint8Vector", "dense"], np.int8)]:
        g = Graph(68)
        dense = pattern.integers(-120, 120, [6, 8]) * (pattern.random([6, 8]) < 0.3)
        dense[1] = 0
        values = dense.astype(dtype) if dtype == np.int8 else (dense / 100).astype(dtype)
        scale = 0.01 if dtype == np.int8 else None
        sparse = g.sparse(values, order, blocks, formats, scale)
        x, y = g.input([1, 8], np.float32), g.tensor([1, 6], np.float32)
        w = g.tensor([6, 8], dtype, scale)
        g.op("DENSIFY", [sparse], [w])
        if dtype != np.float32:
            half, w = w, g.tensor([6, 8], np.float32)
            g.op("DEQUANTIZE", [half], [w])
        g.op("FULLY_CONNECTED", [x, w, g.reals([6])], [y], options("FullyConnectedOptions"))
        case(f"densify_{name}", g, [y])


def recurrences() -> None:
    for name, dtype, time_major, clip, samples, steps in [
        ("float", np.float32, False, 0.0, 1, 5), ("float_clipped", np.float32, False, 0.4, 1, 4),
        ("float_time_major", np.float32, True, 0.0, 1, 4), ("int8", np.int8, False, 0.0, 1, 6),
        ("int8_clipped", np.int8, False, 0.3, 1, 5), ("int8_rows", np.int8, True, 0.0, 2, 1),
        ("int16", np.int16, False, 10.0, 1, 4)]:
        g = Graph(69)
        features, units = 3, 4
        coded = dtype != np.float32
        x_scale, h_scale = (0.02, 0.007) if dtype == np.int8 else (0.0001, 1 / 32768)
        x_zero, h_zero = (5, -9) if dtype == np.int8 else (0, 0)
        order = [steps, samples] if time_major else [samples, steps]
        x = g.input([*order, features], dtype, x_scale if coded else None, x_zero)
        weights = []
        for width in [features] * 4 + [units] * 4:
            scale = float(g.random.uniform(0.004, 0.02))
            weights.append(g.codes([units, width], scale) if coded else g.reals([units, width]))
        biases = [
            g.bias(units, x_scale * g.graph.tensors[w].quantization.scale[0],
                   np.int64 if dtype == np.int16 else np.int32) if coded else g.reals([units])
            for w in weights[:4]
        ]
        hidden = g.variable([samples, units], dtype, h_scale if coded else None, h_zero)
        cell = g.variable([samples, units], np.int16 if coded else np.float32,
                          2**-11 if coded else None)
        y = g.tensor([*order, units], dtype, h_scale if coded else None, h_zero)
        inputs = [x, *weights, -1, -1, -1, *biases, -1, -1, hidden, cell, -1, -1, -1, -1]
        g.op(
            "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y],
            options("UnidirectionalSequenceLSTMOptions",
                    fusedActivationFunction=TANH,
                    cellClip=clip,
                    timeMajor=time_major))
        case(f"lstm_{name}", g, [y], 6)


def pools() -> None:
    for kind in ["AVERAGE_POOL_2D", "MAX_POOL_2D"]:
        for padding, size, activation in [(SAME, (3, 3), 0), (VALID, (2, 2), RELU)]:
            g = Graph(60 + padding)
            x = g.input([1, 5, 6, 3], np.int8, 0.05, -9)
            y = g.tensor([1, *size, 3], np.int8, 0.05, -9)
            g.op(
                kind, [x], [y],
                options("Pool2DOptions",
                        padding=padding,
                        strideW=2,
                        strideH=2,
                        filterWidth=3,
                        filterHeight=2,
                        fusedActivationFunction=activation))
            name = "average" if kind.startswith("A") else "max"
            wide = Graph(160)
            x16 = wide.input([1, 5, 6, 3], np.int16, 0.001)
            y16 = wide.tensor([1, *size, 3], np.int16, 0.001)
            wide.op(kind, [x16], [y16], g.graph.operators[0].builtinOptions)
            case(f"{name}_pool_{padding}_int16", wide, [y16])
            case(f"{name}_pool_{'same' if padding == SAME else 'valid'}", g, [y])


def cases() -> dict[str, tuple[bytes, int]]:
    """The models, and how many random inputs each gets."""
    for group in (convolutions, transposed_convolutions, matrices, hybrids, sparse_matrices,
                  recurrences, pools):
        group()
    return CASES
