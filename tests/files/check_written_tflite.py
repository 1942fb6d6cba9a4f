"""Runs what the TensorFlow Lite writer wrote in tflite-micro and in ai-edge-litert.

check_written_tflite.py TESTS TANDEM: the test program TESTS writes the golden models, random
networks and those of MLPerf Tiny (see tflite_writer_test.cpp). tflite-micro must compute the codes
of the golden archive, and for the other networks those of TANDEM's reference execution;
ai-edge-litert's reference kernels the reals, to a part in 10^5. Exits 77, which means skipped,
where the packages are absent.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import golden_tflite
    import numpy as np
    from golden_archive import read_cases
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
except ImportError as error:
    print(f"skipped: {error}; tools/setup.sh bench installs it")
    sys.exit(77)


def differs(computed: np.ndarray, expected: np.ndarray) -> bool:
    if computed.shape != expected.shape:
        return True
    limit = 0.0
    if expected.dtype == np.float32:
        limit = 1e-5 * max(1.0, float(np.abs(expected).max()))
    return not (np.abs(computed.astype(np.float64) - expected) <= limit).all()


def check_golden(path: pathlib.Path, tensors: dict[str, dict[str, np.ndarray]]) -> bool:
    """Whether a peer computes what it computed from the original model."""
    data = path.read_bytes()
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)).subgraphs[0]
    names = [graph.tensors[i].name.decode() for i in graph.inputs]
    types = [golden_tflite.numpy_type(graph.tensors[i]) for i in graph.inputs]
    if any(tensors["in"][name].dtype != dtype for name, dtype in zip(names, types)):
        return True  # a real input that the written model takes as codes
    rows = graph.tensors[graph.inputs[0]].shape[0]
    for run in range(len(tensors["in"][names[0]]) // rows):
        inputs = [tensors["in"][name][run * rows:(run + 1) * rows] for name in names]
        for index, computed in zip(graph.outputs, golden_tflite.run(data, inputs)):
            expected = tensors["out"][graph.tensors[index].name.decode()]
            count = computed.shape[0]
            if differs(computed, expected[run * count:(run + 1) * count]):
                return False
    return True


def check_reference(path: pathlib.Path, tandem: str) -> bool:
    """Whether a peer computes what Tandem computes on a random input."""
    data = path.read_bytes()
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)).subgraphs[0]
    random = np.random.default_rng(7)
    names = [graph.tensors[i].name.decode() for i in graph.inputs]
    inputs = [golden_tflite.random_input(graph.tensors[i], 2, random) for i in graph.inputs]
    is_coded = inputs[0].dtype != np.float32
    given, results = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
    np.savez(given, **dict(zip(names, inputs)))
    subprocess.run([
        tandem, "run",
        str(path), "--input",
        str(given), "--output",
        str(results), "--execution", "reference" if is_coded else "float"
    ],
                   check=True,
                   stdout=subprocess.DEVNULL)
    with np.load(results) as outputs:
        for index, computed in zip(graph.outputs, golden_tflite.run(data, inputs)):
            name = graph.tensors[index].name.decode()
            if differs(computed, outputs[f"{name}.codes" if is_coded else name]):
                return False
    return True


def main() -> int:
    faults: list[str] = []
    golden = read_cases("tflite")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--gtest_filter=TfliteWriter.*"],
                       check=True,
                       stdout=subprocess.DEVNULL,
                       env=os.environ | {"TANDEM_WRITTEN": folder})
        paths = sorted(pathlib.Path(folder).glob("*.tflite"))
        checked = 0
        for path in paths:
            kind, _, name = path.stem.partition("_")
            if kind not in ("golden", "random", "mlperf"):
                continue
            checked += 1
            try:
                is_equal = (check_golden(path, golden[name]) if kind == "golden" else
                            check_reference(path, sys.argv[2]))
            except (RuntimeError, ValueError) as error:
                faults.append(f"{path.stem}: {error}")
                continue
            if not is_equal:
                faults.append(f"{path.stem}: outputs differ")
    print("\n".join(faults))
    print(f"{checked} written models, {len(faults)} differ")
    return 1 if faults or checked < 280 else 0


if __name__ == "__main__":
    sys.exit(main())
