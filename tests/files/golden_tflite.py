"""Writes golden/tflite.npz, golden/tflite_refused.npz and the seeds of tests/fuzz/corpus/tflite.

tflite.npz          models of one or few operators; codes by tflite-micro, reals by ai-edge-litert
tflite_refused.npz  models that the reader must refuse, each with a part of the message

The archives are those of make_golden.py. Needs the packages of tools/requirements/bench.txt. Run by
hand when cases change: .venv/bin/python tests/files/golden_tflite.py
"""

from typing import Any

import golden_tflite_layers
import golden_tflite_operators
import numpy as np
from ai_edge_litert import interpreter as litert
from golden_archive import FOLDER, write_archive
from golden_tflite_refused import refused_models
from tflite_graphs import TYPES
from tflite_micro.python.tflite_micro import runtime as micro
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

# The model, and how many random inputs it gets.
CASES: dict[str, tuple[bytes, int]] = golden_tflite_layers.cases() | golden_tflite_operators.cases()
REFUSED: dict[str, tuple[bytes, str]] = refused_models()


def numpy_type(tensor: Any) -> np.dtype:
    return next(dtype for dtype, code in TYPES.items() if code == tensor.type)


def random_input(tensor: Any, sample: int, random: np.random.Generator) -> np.ndarray:
    dtype, shape = numpy_type(tensor), list(tensor.shape)
    if dtype == np.float32:
        return random.uniform(-3, 3, shape).astype(np.float32)
    kind = np.iinfo(dtype)
    if shape == [1, 256]:
        return np.arange(kind.min, kind.max + 1,
                         1 if dtype == np.int8 else 256)[:256].reshape(1, 256).astype(dtype)
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


def refused_arrays() -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, (data, message) in REFUSED.items():
        arrays[f"{name}/model"] = np.frombuffer(data, np.uint8)
        arrays[f"{name}/error"] = np.frombuffer(message.encode(), np.uint8)
    return arrays


# Small models of all kinds, from which the fuzzer starts.
SEEDS = [
    "conv_strided", "conv_dead_channels", "conv_int16", "conv_float", "depthwise_two",
    "transpose_conv_same", "fully_connected_plain", "fully_connected_half", "average_pool_same",
    "max_pool_valid", "add_broadcast", "sub_constant", "mul_constant", "maximum", "quantize_reals",
    "logistic_usual", "hard_swish_usual", "leaky_relu_usual", "prelu", "softmax_12",
    "softmax_float", "pad_value", "strided_slice_shrunk", "depth_to_space", "gather",
    "resize_nearest_half", "resize_bilinear_half_int8", "concatenation", "split", "split_v", "pack",
    "mean_spatial", "reduce_max", "densify_blocks", "densify_codes", "lstm_float_clipped",
    "lstm_int8_rows", "logistic_power_int16", "tanh_other_int16", "softmax_2_int16",
    "leaky_relu_int16"
]
SEEDS_REFUSED = ["several", "dynamic", "variable", "custom"]


def write_seeds() -> None:
    folder = FOLDER.parents[1] / "fuzz" / "corpus" / "tflite"
    folder.mkdir(parents=True, exist_ok=True)
    for name in SEEDS:
        (folder / f"{name}.tflite").write_bytes(CASES[name][0])
    for name in SEEDS_REFUSED:
        (folder / f"{name}.tflite").write_bytes(REFUSED[name][0])


def main() -> None:
    write_archive("tflite", golden_arrays())
    write_archive("tflite_refused", refused_arrays())
    write_seeds()


if __name__ == "__main__":
    main()
