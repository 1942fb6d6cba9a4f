"""Compares Tandem's executions of TensorFlow Lite models with PyPI's tflite-micro.

tools/compare_tflite.py [--samples N] [--seed S] [--tandem PROGRAM] [--executions LIST] MODEL...

Every tensor that an operator computes becomes an output, so that the integers between the layers
are compared, not only the results. Inputs are random: all minimum, all maximum, alternately both,
then uniform. Codes must be equal to those of tflite-micro, the authority; reals may differ from
those of ai-edge-litert's reference kernels by 1e-5 of the greatest magnitude in the tensor (at
least 1). Beside them stand the values in which ai-edge-litert, with its default kernels and with
its reference kernels, differs from the authority. Exits 1 where a code or a real of Tandem's
differs.
"""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
import tempfile

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from tflite_micro.python.tflite_micro import runtime as micro
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

TOLERANCE = 1e-5  # relative to the greatest magnitude in a tensor, at least 1
ARENA = 1 << 26


class Model:
    """A file, and a copy of it in which every computed tensor is an output called t<index>."""

    def __init__(self, path: pathlib.Path) -> None:
        self.name = path.stem
        self.bytes = path.read_bytes()
        parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.bytes, 0))
        graph = parsed.subgraphs[0]
        self.inputs = [int(i) for i in graph.inputs]
        self.outputs = [int(i) for i in graph.outputs]
        self.tensors = graph.tensors
        self.computed = [int(i) for op in graph.operators for i in op.outputs]
        for index, tensor in enumerate(graph.tensors):
            tensor.name = f"t{index}"
        graph.outputs = self.computed
        builder = flatbuffers.Builder(len(self.bytes))
        builder.Finish(parsed.Pack(builder), b"TFL3")
        self.exposed = bytes(builder.Output())

    def is_coded(self, index: int) -> bool:
        return self.tensors[index].type != schema.TensorType.FLOAT32

    def random_inputs(self, samples: int, seed: int) -> dict[int, np.ndarray]:
        """Arrays [samples, ...] by tensor."""
        random = np.random.default_rng(seed)
        result = {}
        for index in self.inputs:
            shape = [samples, *self.tensors[index].shape[1:]]
            if self.is_coded(index):
                kind = np.iinfo({
                    schema.TensorType.INT8: np.int8,
                    schema.TensorType.INT16: np.int16
                }[self.tensors[index].type])
                low, high = kind.min, kind.max
                x = random.integers(low, high, shape, dtype=kind.dtype, endpoint=True)
            else:
                low, high = -1, 1
                x = random.uniform(low, high, shape).astype(np.float32)
            if samples > 2:
                x[0], x[1] = low, high
                x[2].reshape(-1)[::2], x[2].reshape(-1)[1::2] = low, high
            result[index] = x
        return result


def run_tandem(options: argparse.Namespace, model: Model, execution: str,
               inputs: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "model.tflite").write_bytes(model.exposed)
        np.savez(work / "in.npz", **{f"t{i}": array for i, array in inputs.items()})
        command = [
            options.tandem, "run",
            str(work / "model.tflite"), "--input",
            str(work / "in.npz"), "--output",
            str(work / "out.npz"), "--execution", execution
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        with np.load(work / "out.npz") as outputs:
            return {
                i: outputs[f"t{i}.codes" if model.is_coded(i) else f"t{i}"] for i in model.computed
            }


def run_micro(model: Model, inputs: dict[int, np.ndarray], sample: int) -> dict[int, np.ndarray]:
    interpreter = micro.Interpreter.from_bytes(
        model.bytes,
        arena_size=ARENA,
        intrepreter_config=micro.InterpreterConfig.kPreserveAllTensors)
    for position, index in enumerate(model.inputs):
        interpreter.set_input(inputs[index][sample:sample + 1], position)
    interpreter.invoke()
    return {i: np.array(interpreter.GetTensor(i, 0)["tensor_data"]) for i in model.computed}


def make_litert(model: Model, reference: bool) -> litert.Interpreter:
    resolver = litert.OpResolverType.BUILTIN_REF if reference else litert.OpResolverType.AUTO
    interpreter = litert.Interpreter(model_content=model.exposed,
                                     experimental_op_resolver_type=resolver,
                                     experimental_preserve_all_tensors=reference)
    interpreter.allocate_tensors()
    return interpreter


def run_litert(interpreter: litert.Interpreter, model: Model, inputs: dict[int, np.ndarray],
               sample: int) -> dict[int, np.ndarray]:
    for index in model.inputs:
        interpreter.set_tensor(index, inputs[index][sample:sample + 1])
    interpreter.invoke()
    return {i: interpreter.get_tensor(i) for i in model.computed}


@dataclasses.dataclass
class Comparison:
    """Counts of one execution of one model against an authority."""

    model: str
    execution: str
    values: int = 0
    differing: int = 0
    differing_outputs: int = 0
    greatest: float = 0.0
    first: str = ""

    def add(self, model: Model, sample: int, computed: dict[int, np.ndarray],
            expected: dict[int, np.ndarray]) -> None:
        for index in model.computed:
            got = computed[index].reshape(-1).astype(np.float64)
            wanted = expected[index].reshape(-1).astype(np.float64)
            distance = np.abs(got - wanted)
            tolerance = 0 if model.is_coded(index) else TOLERANCE * max(1, np.abs(wanted).max())
            wrong = ~(distance <= tolerance)
            self.values += got.size
            self.differing += int(wrong.sum())
            if index in model.outputs:
                self.differing_outputs += int(wrong.sum())
            self.greatest = max(self.greatest, float(distance.max()))
            if wrong.any() and not self.first:
                at = int(np.flatnonzero(wrong)[0])
                self.first = (f"{self.model}, {self.execution}, sample {sample}, tensor {index}"
                              f"[{at}]: {got[at]:g} instead of {wanted[at]:g}")

    def row(self) -> list[str]:
        return [
            self.model, self.execution, f"{self.differing:,} of {self.values:,}",
            f"{self.differing_outputs:,}", f"{self.greatest:.2g}"
        ]


def compare(path: pathlib.Path, options: argparse.Namespace) -> tuple[list[Comparison], bool]:
    model = Model(path)
    inputs = model.random_inputs(options.samples, options.seed)
    is_real = not model.is_coded(model.outputs[0])
    executions = ["float"] if is_real else options.executions.split(",")
    computed = {name: run_tandem(options, model, name, inputs) for name in executions}
    peers = {"litert": make_litert(model, False), "litert, reference": make_litert(model, True)}
    results = {name: Comparison(model.name, name) for name in [*executions, *peers]}
    for sample in range(options.samples):
        peer = {
            name: run_litert(interpreter, model, inputs, sample)
            for name, interpreter in peers.items()
        }
        expected = peer["litert, reference"] if is_real else run_micro(model, inputs, sample)
        for name in executions:
            mine = {i: array[sample:sample + 1] for i, array in computed[name].items()}
            results[name].add(model, sample, mine, expected)
        for name, values in peer.items():
            results[name].add(model, sample, values, expected)
    return list(results.values()), any(results[name].differing for name in executions)


def print_table(rows: list[list[str]]) -> None:
    header = ["network", "execution", "differing values", "in outputs", "greatest difference"]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tandem", default="build/release/tandem")
    parser.add_argument("--executions", default="reference")
    options = parser.parse_args()
    compared = [compare(path, options) for path in options.models]
    print_table([result.row() for results, _ in compared for result in results])
    for results, _ in compared:
        for result in results:
            if result.first:
                print(f"first difference: {result.first}")
    return 1 if any(wrong for _, wrong in compared) else 0


if __name__ == "__main__":
    sys.exit(main())
