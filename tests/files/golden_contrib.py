"""ONNX Runtime's own operators (domain com.microsoft), computed by it: what its optimiser and its
quantizer write."""

from typing import Any

import numpy as np
from golden_graphs import Graph, model_of, stored
from golden_operators import f32, noise, run

DOMAIN = "com.microsoft"
CASES: dict[str, tuple[Any, dict[str, np.ndarray]]] = {}


def case(name: str, op: str, operands: list[Any], outputs: int = 1, kept: list[int] | None = None,
         domain: str = DOMAIN, shapes: dict[str, list[Any]] | None = None,
         **attributes: Any) -> None:
    """A node over operands: a string with an array is an input of the graph, an array alone is an
    initializer, None is absent."""
    graph = Graph()
    inputs: dict[str, np.ndarray] = {}
    names = []
    for operand in operands:
        if operand is None:
            names.append("")
        elif isinstance(operand, tuple):
            names.append(operand[0])
            inputs[operand[0]] = operand[1]
        else:
            names.append(graph.const(operand, operand.dtype))
    first = graph.add(op, names, outputs, domain=domain, **attributes)
    made = [first] + [f"{first}_{i}" for i in range(1, outputs)]
    graph.outputs = [made[i] for i in kept or range(outputs)]
    model = model_of(graph, inputs, 17, shapes, {DOMAIN: 1})
    for output in model.graph.output:
        output.ClearField("type")
    CASES[name] = (model, inputs)


def codes(*shape: int, seed: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, True)


def u8(value: int) -> np.ndarray:
    return np.array(value, np.uint8)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def s(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def layers() -> None:
    image, weights = ("x", noise(1, 2, 5, 5)), noise(3, 2, 3, 3, seed=2)
    case("FusedConv", "FusedConv", [image, weights, noise(3)], activation="Relu",
         kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    case("FusedConv_sum", "FusedConv", [image, weights, noise(3), ("z", noise(1, 3, 3, 3, seed=5))],
         activation="Relu", kernel_shape=[3, 3])
    case("FusedConv_clip", "FusedConv", [image, weights], activation="Clip",
         activation_params=[-0.5, 2.0])
    case("FusedConv_leaky", "FusedConv", [image, weights], activation="LeakyRelu",
         activation_params=[0.2])
    case("FusedConv_hard", "FusedConv", [image, weights], activation="HardSigmoid",
         activation_params=[0.3, 0.4])
    a, b = ("a", noise(2, 3, 4)), ("b", noise(2, 4, 5, seed=2))
    case("FusedMatMul", "FusedMatMul", [a, b], alpha=0.5)
    case("FusedMatMul_turned", "FusedMatMul",
         [("a", noise(2, 4, 3)), ("b", noise(2, 5, 4, seed=2))], transA=1, transB=1, alpha=2.0)
    case("FusedMatMul_batches", "FusedMatMul", [("a", noise(3, 2, 4)), b], transBatchA=1)
    case("FusedMatMul_both", "FusedMatMul", [("a", noise(4, 2, 3)), ("b", noise(5, 2, 4, seed=2))],
         transBatchA=1, transA=1, transBatchB=1, transB=1)
    case("FusedGemm", "FusedGemm", [("a", noise(2, 3)), noise(3, 4, seed=2), noise(4)],
         activation="LeakyRelu", activation_alpha=0.3, alpha=0.5, beta=2.0)
    case("NhwcMaxPool", "NhwcMaxPool", [("x", codes(1, 5, 6, 3))], kernel_shape=[2, 3],
         strides=[2, 1], pads=[0, 1, 1, 1])
    x, bias = ("x", noise(2, 3, 4)), ("b", noise(4, seed=2))
    case("Gelu", "Gelu", [x])
    case("FastGelu", "FastGelu", [x])
    case("FastGelu_bias", "FastGelu", [x, bias])
    case("BiasGelu", "BiasGelu", [x, bias])
    case("QuickGelu", "QuickGelu", [x])
    case("QuickGelu_alpha", "QuickGelu", [x], alpha=1.2)
    skip = ("s", noise(2, 3, 4, seed=4))
    case("SkipLayerNormalization", "SkipLayerNormalization",
         [x, skip, noise(4), noise(4, seed=2), noise(4, seed=3)], 4, kept=[0, 3], epsilon=1e-5)
    case("SkipLayerNormalization_bare", "SkipLayerNormalization", [x, skip, noise(4)])
    case("SkipLayerNormalization_row", "SkipLayerNormalization",
         [x, ("s", noise(3, 4, seed=4)), noise(4), noise(4, seed=2)])
    case("SkipSimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization",
         [x, skip, noise(4), noise(4, seed=2)], 4, kept=[0, 3], epsilon=1e-6)
    case("SimplifiedLayerNormalization", "SimplifiedLayerNormalization", [x, noise(4)], domain="",
         epsilon=1e-6)
    ids, mask = i32(3, 1, 4, 1, 5, 2).reshape(2, 3), i32(1, 1, 0, 1, 1, 1).reshape(2, 3)
    tables = [noise(6, 4), noise(5, 4, seed=2), noise(2, 4, seed=3), noise(4, seed=4),
              noise(4, seed=5)]
    case("EmbedLayerNormalization", "EmbedLayerNormalization",
         [("i", ids), ("s", ids % 2), *tables, ("m", mask)], 3)
    case("EmbedLayerNormalization_bare", "EmbedLayerNormalization",
         [("i", ids), None, tables[0], tables[1], None, tables[3], tables[4], None,
          ("p", ids // 2)], 2, kept=[0])


def attention() -> None:
    x, w, b = ("x", noise(2, 3, 4)), noise(4, 12, seed=2, scale=0.7), noise(12, seed=3)
    past = ("p", noise(2, 2, 2, 5, 2, seed=7))
    case("Attention", "Attention", [x, w, b], num_heads=2)
    case("Attention_causal", "Attention", [x, w, b], num_heads=2, unidirectional=1, scale=0.5)
    case("Attention_lengths", "Attention", [x, w, b, ("m", i32(2, 3))], num_heads=2)
    case("Attention_mask", "Attention", [x, w, b, ("m", i32(1, 0, 1, 0, 1, 1).reshape(2, 3))],
         num_heads=2)
    case("Attention_mask_3d", "Attention",
         [x, w, b, ("m", (codes(2, 3, 3) > 80).astype(np.int32))], num_heads=2)
    case("Attention_past", "Attention", [x, w, b, None, past], 2, num_heads=2, unidirectional=1)
    case("Attention_bias", "Attention", [x, w, b, None, None, ("e", noise(2, 2, 3, 3, seed=8))],
         num_heads=2)
    case("Attention_sizes", "Attention", [x, noise(4, 10, seed=2), noise(10, seed=3)],
         num_heads=2, qkv_hidden_sizes=[4, 4, 2])
    case("QAttention", "QAttention",
         [("x", codes(2, 3, 4)), codes(4, 12, dtype=np.int8), noise(12), s(0.02), s(0.01), None,
          u8(128), np.array(0, np.int8)], num_heads=2)
    q, k, v = ("q", noise(2, 3, 4)), ("k", noise(2, 5, 4, seed=2)), ("v", noise(2, 5, 6, seed=3))
    case("MultiHeadAttention", "MultiHeadAttention", [q, k, v], num_heads=2)
    case("MultiHeadAttention_bias", "MultiHeadAttention", [q, k, v, noise(14, seed=4)],
         num_heads=2, scale=0.3)
    case("MultiHeadAttention_mask", "MultiHeadAttention",
         [q, k, v, None, ("m", (codes(2, 5) > 60).astype(np.int32)),
          ("e", noise(1, 2, 3, 5, seed=5))], num_heads=2)
    square = ("v", noise(2, 5, 4, seed=3))
    case("MultiHeadAttention_past", "MultiHeadAttention",
         [q, ("k", noise(2, 3, 4, seed=2)), ("v", noise(2, 3, 4, seed=3)), None, None, None,
          ("pk", noise(2, 2, 4, 2, seed=5)), ("pv", noise(2, 2, 4, 2, seed=6))], 3,
         num_heads=2, unidirectional=1)
    case("MultiHeadAttention_cross", "MultiHeadAttention",
         [q, ("k", noise(2, 2, 5, 2, seed=2)), ("v", noise(2, 2, 5, 2, seed=3))], num_heads=2)
    case("MultiHeadAttention_symbols", "MultiHeadAttention", [q, k, square], num_heads=2,
         shapes={"q": ["N", 3, 4], "k": ["N", 5, 4], "v": ["N", 5, 4]})
    cosines, sines = np.cos(noise(8, 2)), np.sin(noise(8, 2))
    case("RotaryEmbedding", "RotaryEmbedding",
         [("x", noise(2, 3, 8)), np.arange(6).reshape(2, 3) + 1, cosines, sines])
    case("RotaryEmbedding_offset", "RotaryEmbedding",
         [("x", noise(2, 2, 3, 4)), np.array([2]), cosines, sines], interleaved=1)
    case("RotaryEmbedding_partial", "RotaryEmbedding",
         [("x", noise(2, 3, 12)), np.array([1]), cosines, sines], num_heads=2,
         rotary_embedding_dim=4)
    q, k, v = (("q", noise(1, 3, 64)), ("k", noise(1, 3, 32, seed=2)),
               ("v", noise(1, 3, 32, seed=3)))
    cos4, sin4 = np.cos(noise(9, 8)), np.sin(noise(9, 8))
    heads = {"num_heads": 4, "kv_num_heads": 2}
    case("GroupQueryAttention", "GroupQueryAttention",
         [q, k, v, None, None, i32(2), np.array(3, np.int32)], 3, **heads)
    case("GroupQueryAttention_rotary", "GroupQueryAttention",
         [q, k, v, None, None, i32(2), np.array(3, np.int32), cos4, sin4], 3, do_rotary=1,
         softcap=2.0, **heads)
    case("GroupQueryAttention_window", "GroupQueryAttention",
         [("q", noise(1, 6, 64)), ("k", noise(1, 6, 32, seed=2)), ("v", noise(1, 6, 32, seed=3)),
          None, None, i32(5), np.array(6, np.int32)], 3, local_window_size=2, **heads)
    case("GroupQueryAttention_packed", "GroupQueryAttention",
         [("q", noise(1, 3, 128)), None, None, None, None, i32(2), np.array(3, np.int32), cos4,
          sin4], 3, do_rotary=1, rotary_interleaved=1, **heads)
    case("GroupQueryAttention_past", "GroupQueryAttention",
         [("q", noise(1, 1, 64)), ("k", noise(1, 1, 32, seed=2)), ("v", noise(1, 1, 32, seed=3)),
          ("pk", noise(1, 2, 5, 16, seed=4)), ("pv", noise(1, 2, 5, 16, seed=5)), ("l", i32(5)),
          np.array(6, np.int32), cos4, sin4], 3, do_rotary=1, scale=0.4, **heads)


def quantized() -> None:
    x, y = codes(2, 3, 4), codes(2, 3, 4, seed=9)
    pair = [("x", x), s(0.05), u8(120), ("y", y), s(0.07), u8(130)]
    case("QLinearAdd", "QLinearAdd", [*pair, s(0.1), u8(128)])
    case("QLinearMul", "QLinearMul", [*pair, s(0.3), u8(100)])
    signed = codes(2, 3, 4, dtype=np.int8)
    case("QLinearAdd_signed", "QLinearAdd",
         [("x", signed), s(0.0513), np.array(0, np.int8), ("y", codes(4, dtype=np.int8)), s(0.0217),
          np.array(5, np.int8), s(0.0611), np.array(-3, np.int8)])
    case("QLinearSigmoid", "QLinearSigmoid", [("x", x), s(0.05), u8(128), s(1 / 256), u8(0)])
    case("QLinearLeakyRelu", "QLinearLeakyRelu", [("x", x), s(0.05), u8(100), s(0.03), u8(20)],
         alpha=0.2)
    case("QLinearSoftmax", "QLinearSoftmax", [("x", x), s(0.03), u8(100), s(1 / 256), u8(0)],
         opset=13, axis=-1)
    case("QLinearWhere", "QLinearWhere",
         [("c", x > 100), ("x", x), s(0.05), u8(120), ("y", y), s(0.07), u8(130), s(0.07),
          u8(128)])
    case("QLinearConcat", "QLinearConcat",
         [s(0.06), u8(110), ("x", x), s(0.05), u8(120), ("y", y), s(0.06), u8(110)], axis=1)
    image = ("x", codes(1, 2, 5, 6))
    case("QLinearAveragePool", "QLinearAveragePool", [image, s(0.05), u8(100), s(0.04), u8(90)],
         kernel_shape=[2, 2], strides=[2, 2])
    case("QLinearAveragePool_last", "QLinearAveragePool",
         [("x", codes(1, 5, 6, 2)), s(0.0517), u8(100), s(0.0413), u8(90)], kernel_shape=[2, 3],
         pads=[1, 0, 1, 2], channels_last=1)
    case("QLinearGlobalAveragePool", "QLinearGlobalAveragePool",
         [image, s(0.05), u8(100), s(0.02), u8(110)])
    case("QLinearGlobalAveragePool_last", "QLinearGlobalAveragePool",
         [("x", codes(1, 5, 6, 2)), s(0.05), u8(100), s(0.02), u8(110)], channels_last=1)
    a, b = ("a", codes(3, 8)), codes(8, 4, dtype=np.int8)
    scales, zeros = f32(0.01, 0.02, 0.03, 0.04), np.array([1, -2, 3, 0], np.int8)
    case("MatMulIntegerToFloat", "MatMulIntegerToFloat",
         [a, b, s(0.05), s(0.01), u8(120), np.array(3, np.int8), noise(4)])
    case("MatMulIntegerToFloat_channels", "MatMulIntegerToFloat",
         [a, b, s(0.05), scales, u8(120), zeros])
    case("DynamicQuantizeMatMul", "DynamicQuantizeMatMul", [("a", noise(3, 8)), b, scales, zeros])
    case("DynamicQuantizeMatMul_bias", "DynamicQuantizeMatMul",
         [("a", noise(2, 3, 8)), b, s(0.01), None, noise(4)])
    case("QGemm", "QGemm",
         [a, s(0.05), u8(120), b, s(0.01), np.array(0, np.int8), i32(10, -200, 3000, 4), s(0.3),
          u8(128)])
    case("QGemm_real", "QGemm",
         [a, s(0.05), u8(120), codes(4, 8, dtype=np.int8), s(0.01), np.array(0, np.int8)],
         transB=1, alpha=0.5)
    rows, depth, block = 3, 20, 16
    packed = codes(rows, 2, block // 2)
    case("MatMulNBits", "MatMulNBits",
         [("x", noise(2, depth)), packed, np.abs(noise(rows * 2, seed=2)) + 0.1], K=depth, N=rows,
         bits=4, block_size=block)
    case("MatMulNBits_zeros", "MatMulNBits",
         [("x", noise(2, depth)), packed, np.abs(noise(rows * 2, seed=2)) + 0.1,
          codes(rows, seed=4), None, noise(rows)], K=depth, N=rows, bits=4, block_size=block)
    case("MatMulNBits_bytes", "MatMulNBits",
         [("x", noise(1, 2, depth)), codes(rows, 2, block),
          np.abs(noise(rows * 2, seed=2)) * 0.05 + 0.01], K=depth, N=rows, bits=8,
         block_size=block)


def recurrent() -> None:
    def lstm(name: str, directions: int, per_channel: bool, states: bool,
             **attributes: Any) -> None:
        units, count, dtype = 3, 2, np.int8
        scales = (directions, 4 * units) if per_channel else (directions,)
        weights = [codes(directions, size, 4 * units, seed=size, dtype=dtype)
                   for size in (count, units)]
        scale = [np.abs(noise(*scales, seed=seed)) * 0.01 + 0.002 for seed in (5, 6)]
        zero = np.zeros(scales, dtype)
        first = [noise(directions, 1, units, seed=seed) if states else None for seed in (7, 8)]
        case(name, "DynamicQuantizeLSTM",
             [("x", noise(5, 1, count)), *weights, noise(directions, 8 * units, seed=4), None,
              *first, None, scale[0], zero, scale[1], zero], 3, hidden_size=units, **attributes)

    lstm("DynamicQuantizeLSTM", 1, False, False)
    lstm("DynamicQuantizeLSTM_reverse", 1, True, True, direction="reverse")
    lstm("DynamicQuantizeLSTM_both", 2, True, True, direction="bidirectional")


def arrays() -> dict[str, np.ndarray]:
    recurrent()
    layers()
    attention()
    quantized()
    result: dict[str, np.ndarray] = {}
    for name, (model, inputs) in CASES.items():
        result.update(stored(name, model, inputs, run(model, inputs)))
    return result
