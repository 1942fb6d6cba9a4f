"""Compares Tandem's executions of QONNX models with the executor of PyPI's qonnx.

tools/compare_qonnx.py [--samples N] [--seed S] [--tandem PROGRAM] MODEL...

Every quantizer behind an input becomes an output too, so that the codes between the layers are
compared, not only the results: for the network as read (float), and for its exact integers
(reference). Inputs are random: all minimum, all maximum, then uniform numbers; an input that is
annotated as BIPOLAR gets -1 and +1, one that no quantizer reads gets numbers of the coding in
INPUT_CODINGS, in which it arrives at the integers. Prints one table, then one line for each code
that differs: how far qonnx's own sum is from the threshold between the two codes, in steps of the
code. Sums of f32 in another order, and exact ones, may fall on the other side of a threshold that
the sum lies upon; behind such a code everything may differ, so only the first of a sample is
explained. Exits 1 where an output differs without a differing code before it, or a code whose sum
is not next to its threshold.
"""

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

TOLERANCE = 1e-5  # relative to the greater of 1 and the expected value
SOFTMAX_TOLERANCE = 1e-3
NEAR_THRESHOLD = 1e-3  # in steps of the code
QUANTIZERS = {"Quant", "IntQuant", "BipolarQuant", "Trunc"}
# By the beginning of the file's name: format, least and greatest code, codes for each 1.
INPUT_CODINGS = {"TFC": ("uint8", 0, 255, 255), "qkeras_jettagging": ("int8", -128, 127, 16)}


def coding_of(path: pathlib.Path) -> tuple[str, int, int, int] | None:
    return next((c for name, c in INPUT_CODINGS.items() if path.name.startswith(name)), None)


def network_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initializers]


def random_inputs(model: onnx.ModelProto, coding: tuple[str, int, int, int] | None, samples: int,
                  seed: int) -> dict[str, np.ndarray]:
    """Arrays [samples, ...] by name."""
    annotations = {a.tensor_name: {e.key: e.value for e in a.quant_parameter_tensor_names}
                   for a in model.graph.quantization_annotation}
    random = np.random.default_rng(seed)
    inputs = {}
    for value in network_inputs(model):
        shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim][1:]
        x = random.uniform(-1, 1, [samples, *shape]).astype(np.float32)
        x[0], x[1] = -1, 1
        if annotations.get(value.name, {}).get("finn_datatype") == "BIPOLAR":
            x = np.where(x < 0, -1, 1).astype(np.float32)
        elif coding is not None:
            _, low, high, steps = coding
            codes = np.rint((x.astype(np.float64) + 1) / 2 * (high - low)) + low
            x = (codes / steps).astype(np.float32)
        inputs[value.name] = x
    return inputs


def computed_quantizers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Quantizers of values that depend on an input, in the order of the graph."""
    computed = {value.name for value in network_inputs(model)}
    found = []
    for node in model.graph.node:
        if not computed.intersection(node.input):
            continue
        computed.update(node.output)
        if node.op_type in QUANTIZERS:
            found.append(node)
    return found


def run_tandem(options: argparse.Namespace, path: pathlib.Path, execution: str, extra: list[str],
               inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    copy = onnx.load(path)
    listed = {value.name for value in copy.graph.output}
    for name in extra:
        if name not in listed:
            copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        onnx.save(copy, work / "model.onnx")
        np.savez(work / "in.npz", **inputs)
        command = [options.tandem, "run", str(work / "model.onnx"), "--input",
                   str(work / "in.npz"), "--output", str(work / "out.npz"), "--execution",
                   execution]
        coding = coding_of(path)
        if coding is not None and execution != "float":
            for name in inputs:
                command += ["--input-coding", f"{name}={coding[0]},1/{coding[3]}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        with np.load(work / "out.npz") as outputs:
            return dict(outputs)


def run_qonnx(wrapper: ModelWrapper, inputs: dict[str, np.ndarray],
              sample: int) -> dict[str, np.ndarray]:
    one = {name: array[sample:sample + 1] for name, array in inputs.items()}
    return execute_onnx(wrapper, one, return_full_exec_context=True)


def differing(computed: np.ndarray, expected: np.ndarray,
              tolerance: float = TOLERANCE) -> np.ndarray:
    most = tolerance * np.maximum(1, np.abs(expected))
    return ~(np.abs(computed.astype(np.float64) - expected) <= most)


def step_of(computed: dict[str, np.ndarray], name: str) -> float:
    """What one code more adds to an output of the integers; 0 where nothing says it."""
    if name + ".codes" not in computed:
        return 0.0
    codes, reals = computed[name + ".codes"].astype(np.float64), computed[name].astype(np.float64)
    spread = codes.max() - codes.min()
    return float((reals.max() - reals.min()) / spread) if spread else 0.0


def threshold_distance(context: dict[str, np.ndarray], node: onnx.NodeProto,
                       index: int) -> float:
    """How far the number that a quantizer takes is from the threshold between two codes."""
    x = np.asarray(context[node.input[0]], np.float64)
    at = np.unravel_index(index, x.shape)
    scale = np.broadcast_to(np.asarray(context[node.input[1]], np.float64), x.shape)[at]
    if node.op_type == "BipolarQuant":
        return abs(x[at] / scale)
    zero = np.broadcast_to(np.asarray(context[node.input[2]], np.float64), x.shape)[at]
    position = x[at] / scale + zero
    rounding = {a.name: a.s for a in node.attribute}.get("rounding_mode", b"ROUND")
    shift = 0.5 if rounding.upper() in (b"ROUND", b"HALF_EVEN", b"HALF_UP", b"HALF_DOWN") else 0.0
    return abs(position - shift - np.rint(position - shift))


@dataclasses.dataclass
class Comparison:
    """Counts of one execution of one model."""

    model: str
    execution: str
    codes: int = 0
    bad_codes: int = 0
    values: int = 0
    bad_values: int = 0
    faults: int = 0
    greatest: float = 0.0
    tolerance: float = TOLERANCE
    bad_output_codes: int = 0
    lines: list[str] = dataclasses.field(default_factory=list)

    def add(self, sample: int, context: dict[str, np.ndarray], computed: dict[str, np.ndarray],
            quantizers: list[onnx.NodeProto], outputs: list[str]) -> None:
        flips = 0
        for node in quantizers:
            name = node.output[0]
            got, wanted = computed[name][sample].reshape(-1), np.asarray(context[name]).reshape(-1)
            wrong = np.flatnonzero(differing(got, wanted))
            if wrong.size and flips == 0:
                for index in wrong:
                    self.explain(sample, context, node, int(index), got, wanted)
            self.codes, flips = self.codes + got.size, flips + wrong.size
        self.bad_codes += flips
        for name in outputs:
            got, wanted = computed[name][sample].reshape(-1), np.asarray(context[name]).reshape(-1)
            wrong = int(differing(got, wanted, self.tolerance).sum())
            step = step_of(computed, name)
            if step:
                self.bad_output_codes += int((np.rint((got - wanted) / step) != 0).sum())
            self.values, self.bad_values = self.values + got.size, self.bad_values + wrong
            self.faults += wrong if flips == 0 else 0
            if flips == 0:
                self.greatest = max(self.greatest, float(np.abs(got - wanted).max()))

    def explain(self, sample: int, context: dict[str, np.ndarray], node: onnx.NodeProto, index: int,
                got: np.ndarray, wanted: np.ndarray) -> None:
        distance = threshold_distance(context, node, index)
        near = distance < NEAR_THRESHOLD
        self.faults += 0 if near else 1
        self.lines.append(
            f"{self.model}, {self.execution}, sample {sample}, {node.output[0]}[{index}]: "
            f"{got[index]:g} instead of {wanted[index]:g}; the sum is {distance:.1e} steps from "
            f"the threshold: {'another order of the sum' if near else 'UNEXPLAINED'}")

    def row(self, samples: int) -> list[str]:
        return [self.model, self.execution, f"{samples}", f"{self.bad_codes} of {self.codes:,}",
                f"{self.bad_values} of {self.values:,}", f"{self.greatest:.1e}",
                f"{self.tolerance:.0e}",
                f"{self.bad_output_codes}" if self.execution != "float" else ""]


def compare(path: pathlib.Path, options: argparse.Namespace) -> list[Comparison]:
    model = onnx.load(path)
    quantizers = computed_quantizers(model)
    names = [node.output[0] for node in quantizers]
    inputs = random_inputs(model, coding_of(path), options.samples, options.seed)
    computed = {execution: run_tandem(options, path, execution, names, inputs)
                for execution in options.executions.split(",")}
    results = {execution: Comparison(path.stem, execution) for execution in computed}
    if any(node.op_type == "Softmax" for node in model.graph.node) and "reference" in results:
        results["reference"].tolerance = SOFTMAX_TOLERANCE
    wrapper = ModelWrapper(str(path)).transform(InferShapes())
    outputs = [value.name for value in model.graph.output]
    for sample in range(options.samples):
        context = run_qonnx(wrapper, inputs, sample)
        for execution, result in results.items():
            result.add(sample, context, computed[execution], quantizers, outputs)
    return list(results.values())


def print_table(rows: list[list[str]]) -> None:
    header = ["network", "execution", "samples", "differing codes", "differing outputs",
              "greatest difference", "tolerance", "output codes"]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tandem", default="build/release/tandem")
    parser.add_argument("--executions", default="float,reference")
    options = parser.parse_args()
    os.environ.setdefault("SANITIZE_QUANT_TENSORS", "1")
    warnings.simplefilter("ignore")
    results = [result for path in options.models for result in compare(path, options)]
    print_table([result.row(options.samples) for result in results])
    print("An output differs where it is off by more than the tolerance times the greater of 1 and "
          "what qonnx computes.\nThe greatest difference is that of outputs behind equal codes; "
          "the output codes are those that are not qonnx's, rounded.")
    for result in results:
        for line in result.lines:
            print(line)
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
