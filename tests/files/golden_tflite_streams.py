"""Writes golden/tflite_streams.npz, golden/tflite_streams_refused.npz and their fuzzing seeds.

tflite_streams.npz          models with resource variables: calls that follow each other; codes by
                            tflite-micro, reals by ai-edge-litert
tflite_streams_refused.npz  models that the reader must refuse, each with a part of the message

Needs the packages of tools/requirements/bench.txt. Run by hand when cases change:
.venv/bin/python tests/files/golden_tflite_streams.py
"""

import numpy as np
from golden_archive import FOLDER, write_archive
from golden_tflite import random_input
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
from tflite_streams import STREAMS, refused_streams
from tflite_streams_run import run_litert, run_micro

SEEDS_REFUSED = ["assigned_twice", "computes", "typed_handle", "uninitialized"]


def stream_arrays() -> dict[str, np.ndarray]:
    """The calls of a stream along the first axis, which is 1 in every model."""
    arrays: dict[str, np.ndarray] = {}
    for name, (data, calls) in STREAMS.items():
        graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)).subgraphs[0]
        random = np.random.default_rng(len(name))
        given = [
            np.concatenate([random_input(graph.tensors[i], call, random) for call in range(calls)])
            for i in graph.inputs
        ]
        is_real = graph.tensors[graph.outputs[0]].type == schema.TensorType.FLOAT32
        computed = (run_litert if is_real else run_micro)(data, given)
        arrays[f"{name}/model"] = np.frombuffer(data, np.uint8)
        ends = (("in", graph.inputs, given), ("out", graph.outputs, computed))
        for kind, indices, values in ends:
            for index, value in zip(indices, values):
                arrays[f"{name}/{kind}/{graph.tensors[index].name.decode()}"] = value
    return arrays


def main() -> None:
    refused = refused_streams()
    write_archive("tflite_streams", stream_arrays())
    arrays: dict[str, np.ndarray] = {}
    for name, (data, message) in refused.items():
        arrays[f"{name}/model"] = np.frombuffer(data, np.uint8)
        arrays[f"{name}/error"] = np.frombuffer(message.encode(), np.uint8)
    write_archive("tflite_streams_refused", arrays)
    folder = FOLDER.parents[1] / "fuzz" / "corpus" / "tflite"
    for name, (data, _) in STREAMS.items():
        (folder / f"stream_{name}.tflite").write_bytes(data)
    for name in SEEDS_REFUSED:
        (folder / f"stream_{name}.tflite").write_bytes(refused[name][0])


if __name__ == "__main__":
    main()
