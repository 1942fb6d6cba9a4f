"""Graphs of QONNX's nodes; the executor of PyPI's qonnx computes what they give."""

from typing import Any

import numpy as np
import onnx
from golden_graphs import Graph, model_of, stored
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
MODES = ("ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")

# Every multiple of 1/4 around zero: ties and numbers between them, far enough to saturate 4 bits.
GRID = np.arange(-40, 40, dtype=np.float32).reshape(2, 4, 10) / 4
NOISE = np.random.default_rng(5).normal(0, 3, (2, 4, 10)).astype(np.float32)


def execute(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    wrapper = ModelWrapper(copy).transform(InferShapes())
    return execute_onnx(wrapper, inputs)


RESULT: dict[str, np.ndarray] = {}


def case(name: str, build: Any, x: np.ndarray, domain: str, version: int = 1, opset: int = 13,
         annotation: str = "") -> None:
    graph = Graph()
    graph.outputs = [build(graph, domain)]
    model = model_of(graph, {"x": x}, opset, domains={domain: version} if version else None)
    if annotation:
        entry = model.graph.quantization_annotation.add(tensor_name="x")
        entry.quant_parameter_tensor_names.add(key="finn_datatype", value=annotation)
    RESULT.update(stored(name, model, {"x": x}, execute(model, {"x": x})))


def quant(name: str, bits: float, signed: int, narrow: int, mode: str = "ROUND",
          scale: Any = 0.5, zero: Any = 0.0, x: np.ndarray = GRID, domain: str = DOMAINS[0],
          op: str = "Quant", version: int = 1) -> None:
    def build(g: Graph, where: str) -> str:
        inputs = ["x", g.const(scale), g.const(zero), g.const(np.float32(bits))]
        return g.add(op, inputs, domain=where, signed=signed, narrow=narrow, rounding_mode=mode)
    case(name, build, x, domain, version)


def quants() -> None:
    for bits in (1, 2, 3, 4, 8, 16):
        for signed in (0, 1):
            for narrow in (0, 1):
                if bits == 1 and not signed and narrow:
                    continue  # one value only
                quant(f"quant_{bits}_{signed}_{narrow}", bits, signed, narrow)
    for mode in MODES:
        quant(f"mode_{mode}", 4, 1, 0, mode, scale=1.0)
        quant(f"mode_{mode}_noise", 5, 0, 0, mode, scale=0.37, zero=3.0, x=NOISE)
    quant("mode_lower_case", 4, 1, 1, "half_even")
    for index, domain in enumerate(DOMAINS):
        quant(f"domain_{index}", 3, 1, 1, x=NOISE, domain=domain)
        quant(f"domain_{index}_not_imported", 3, 1, 1, x=NOISE, domain=domain, version=0)
    quant("int_quant", 6, 1, 0, x=NOISE, op="IntQuant")
    channels = np.array([0.1, 0.25, 0.5, 1.5], np.float32).reshape(1, 4, 1)
    quant("per_channel", 4, 1, 1, scale=channels, x=NOISE)
    quant("per_channel_zero", 4, 0, 0, scale=channels, zero=np.arange(4).reshape(4, 1), x=NOISE)
    quant("fraction_zero", 4, 0, 0, scale=0.3, zero=2.25, x=NOISE)
    quant("bipolar_zero", 1, 1, 1, scale=0.75, zero=0.5, x=NOISE)


def float_quant(name: str, exponent: int, mantissa: int, bias: int, greatest: float,
                specials: str = "", mode: str = "ROUND", scale: Any = 1.0, saturation: int = 1,
                x: np.ndarray = NOISE) -> None:
    def build(g: Graph, where: str) -> str:
        numbers = [np.float32(value) for value in (exponent, mantissa, bias, greatest)]
        inputs = ["x", g.const(scale)] + [g.const(number) for number in numbers]
        return g.add("FloatQuant", inputs, domain=where, has_inf=int(specials == "inf"),
                     has_nan=int(specials != ""), has_subnormal=1, saturation=saturation,
                     rounding_mode=mode)
    case(name, build, x, DOMAINS[0])


def float_quants() -> None:
    channels = np.array([0.1, 0.25, 0.5, 1.5], np.float32).reshape(1, 4, 1)
    wide = (NOISE * np.float32(10) ** np.arange(-5, 5, dtype=np.float32)).astype(np.float32)
    float_quant("float_e4m3", 4, 3, 7, 448, "nan", x=wide)
    float_quant("float_e4m3_channels", 4, 3, 7, 448, "nan", scale=channels)
    float_quant("float_e4m3_finite", 4, 3, 7, 480, x=wide)
    float_quant("float_e5m2", 5, 2, 15, 57344, "inf", x=wide)
    float_quant("float_e5m2_infinite", 5, 2, 15, 57344, "inf", saturation=0, x=wide * 100)
    float_quant("float_e3m2", 3, 2, 3, 28, scale=0.3)
    float_quant("float_e3m2_bias", 3, 2, 5, 7, scale=0.3)
    float_quant("float_e2m3", 2, 3, 1, 7.5)
    float_quant("float_e2m1", 2, 1, 1, 6, scale=0.7)
    float_quant("float_e3m0", 3, 0, 3, 16)
    float_quant("float_e4m2", 4, 2, 7, 448, x=wide)
    for mode in MODES[:5]:
        float_quant(f"float_{mode}", 3, 2, 3, 28, mode=mode, x=GRID)

    def layer(g: Graph, where: str) -> str:
        def quantized(x: str, scale: Any) -> str:
            numbers = [g.const(np.float32(value)) for value in (3, 2, 3, 28)]
            return g.add("FloatQuant", [x, g.const(scale), *numbers], domain=where, has_inf=0,
                         has_nan=0, has_subnormal=1, saturation=1)
        weights = np.random.default_rng(8).normal(0, 1, (10, 6)).astype(np.float32)
        scales = np.exp2(np.arange(-4, 2)).astype(np.float32).reshape(1, 6)  # sums are exact
        return g.add("MatMul", [quantized("x", 0.25), quantized(g.const(weights), scales)])

    case("float_layer", layer, NOISE[0], DOMAINS[0])


def bipolars() -> None:
    for index, domain in enumerate(DOMAINS):
        def build(g: Graph, where: str) -> str:
            return g.add("BipolarQuant", ["x", g.const(0.25)], domain=where)
        case(f"bipolar_{index}", build, GRID, domain)

    def tiny(g: Graph, where: str) -> str:
        return g.add("BipolarQuant", ["x", g.const(1e30)], domain=where)

    case("bipolar_tiny", tiny, np.array([-1e-30, -0.0, 0.0, 1e-30], np.float32), DOMAINS[0])


def truncs() -> None:
    codes = np.random.default_rng(6).integers(0, 256, (2, 4, 10)).astype(np.float32)

    def trunc1(mode: str, zero: float = 0.0) -> Any:
        def build(g: Graph, where: str) -> str:
            inputs = ["x", g.const(0.125), g.const(zero), g.const(8.0), g.const(4.0)]
            return g.add("Trunc", inputs, domain=where, rounding_mode=mode)
        return build

    def trunc2(mode: str, signed: int, narrow: int, zero: float = 0.0) -> Any:
        def build(g: Graph, where: str) -> str:
            inputs = ["x", g.const(0.125), g.const(zero), g.const(8.0), g.const(1.0), g.const(4.0)]
            return g.add("Trunc", inputs, domain=where, rounding_mode=mode, signed=signed,
                         narrow=narrow)
        return build

    for mode in MODES:
        case(f"trunc1_{mode}", trunc1(mode), codes * 0.125, DOMAINS[2])
        case(f"trunc2_{mode}", trunc2(mode, 0, 0), codes * 0.125, DOMAINS[0], 2)
    case("trunc1_default_version", trunc1("FLOOR"), codes * 0.125, DOMAINS[1], 0)
    case("trunc1_wide", trunc1("FLOOR"), (codes - 100) * 1000, DOMAINS[1])
    case("trunc1_zero", trunc1("FLOOR", 8.0), (codes - 8) * 0.125, DOMAINS[2])
    case("trunc2_signed", trunc2("ROUND", 1, 0), (codes - 128) * 0.125, DOMAINS[0], 2)
    case("trunc2_narrow", trunc2("UP", 1, 1), (codes - 128) * 0.125, DOMAINS[0], 2)
    case("trunc2_zero", trunc2("FLOOR", 0, 0, 8.0), (codes - 8) * 0.125, DOMAINS[0], 2)

    def pooled(g: Graph, where: str) -> str:
        """Brevitas' average pooling: the mean times the window, then a truncation."""
        inputs = ["x", g.const(0.25), g.const(0.0), g.const(4.0)]
        q = g.add("Quant", inputs, domain=where, signed=0, narrow=0, rounding_mode="ROUND")
        mean = g.add("AveragePool", [q], kernel_shape=[2, 2], strides=[2, 2])
        total = g.add("Mul", [mean, g.const(4.0)])
        inputs = [total, g.const(0.25), g.const(0.0), g.const(6.0), g.const(4.0)]
        return g.add("Trunc", inputs, domain=where, rounding_mode="FLOOR")

    case("trunc1_pool", pooled, np.abs(NOISE.reshape(2, 1, 4, 10)), DOMAINS[2])


def networks() -> None:
    """Two layers as Brevitas exports them, and inputs declared to hold integers."""
    weights = np.random.default_rng(7).normal(0, 1, (10, 6)).astype(np.float32)

    def layers(g: Graph, where: str) -> str:
        common = {"domain": where, "narrow": 1, "signed": 1, "rounding_mode": "ROUND"}
        x = g.add("Quant", ["x", g.const(0.5), g.const(0.0), g.const(4.0)], **common)
        w = g.add("Quant", [g.const(weights.T), g.const(np.full((6, 1), 0.4)), g.const(0.0),
                            g.const(3.0)], **common)
        y = g.add("MatMul", [x, g.add("Transpose", [w], perm=[1, 0])])
        y = g.add("Add", [y, g.const(np.linspace(-0.97, 1.03, 6))])
        y = g.add("BipolarQuant", [y, g.const(1.0)], domain=where)
        w = g.add("BipolarQuant", [g.const(weights[:6, :3]), g.const(0.5)], domain=where)
        return g.add("MatMul", [y, w])

    case("layers", layers, NOISE[0], DOMAINS[2])

    def relu(g: Graph, _: str) -> str:
        return g.add("Add", ["x", g.const(0.5)])

    signs = np.sign(NOISE[0]).astype(np.float32)
    case("annotated_bipolar", relu, signs, DOMAINS[0], annotation="BIPOLAR")
    case("annotated_int5", relu, np.round(NOISE[0]), DOMAINS[0], annotation="INT5")
    case("annotated_ternary", relu, np.sign(np.round(NOISE[0])), DOMAINS[0], annotation="TERNARY")
    case("annotated_float", relu, NOISE[0], DOMAINS[0], annotation="FLOAT32")


def arrays() -> dict[str, np.ndarray]:
    quants()
    float_quants()
    bipolars()
    truncs()
    networks()
    return RESULT
