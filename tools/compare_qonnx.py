"""Compares Tandem's float execution of QONNX models with the executor of PyPI's qonnx.

tools/compare_qonnx.py [--samples N] [--seed S] [--tandem PROGRAM] MODEL...

Every quantizer behind an input becomes an output too, so that the codes between the layers are
compared, not only the results. Inputs are random: all minimum, all maximum, then uniform numbers;
an input that is annotated as BIPOLAR gets -1 and +1. For each model one line: output values beyond
the tolerance and codes that differ. Exits 1 where an output differs without a differing code before
it, or where more than one code of a million differs (sums of f32 in another order may fall on the
other side of a quantizer's threshold; behind such a code everything may differ).
"""

import argparse
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
QUANTIZERS = {"Quant", "IntQuant", "BipolarQuant", "Trunc"}


def network_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initializers]


def random_inputs(model: onnx.ModelProto, samples: int, seed: int) -> dict[str, np.ndarray]:
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
        inputs[value.name] = x
    return inputs


def computed_quantizers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Quantizers of values that depend on an input."""
    computed = {value.name for value in network_inputs(model)}
    found = []
    for node in model.graph.node:
        if not computed.intersection(node.input):
            continue
        computed.update(node.output)
        if node.op_type in QUANTIZERS:
            found.append(node)
    return found


def run_tandem(program: str, model: onnx.ModelProto, extra: list[str],
               inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    listed = {value.name for value in copy.graph.output}
    for name in extra:
        if name not in listed:
            copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        onnx.save(copy, path / "model.onnx")
        np.savez(path / "in.npz", **inputs)
        command = [program, "run", str(path / "model.onnx"), "--input", str(path / "in.npz"),
                   "--output", str(path / "out.npz"), "--execution", "float"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        with np.load(path / "out.npz") as outputs:
            return dict(outputs)


def run_qonnx(wrapper: ModelWrapper, inputs: dict[str, np.ndarray], sample: int,
              names: list[str]) -> dict[str, np.ndarray]:
    one = {name: array[sample:sample + 1] for name, array in inputs.items()}
    context = execute_onnx(wrapper, one, return_full_exec_context=True)
    return {name: np.asarray(context[name]) for name in names}


def differing(computed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    scale = np.maximum(1, np.abs(expected))
    return ~(np.abs(computed.astype(np.float64) - expected) <= TOLERANCE * scale)


def compare(path: pathlib.Path, samples: int, seed: int, program: str) -> bool:
    model = onnx.load(path)
    quantizers = [node.output[0] for node in computed_quantizers(model)]
    outputs = [value.name for value in model.graph.output]
    inputs = random_inputs(model, samples, seed)
    computed = run_tandem(program, model, quantizers, inputs)
    wrapper = ModelWrapper(str(path)).transform(InferShapes())
    codes = bad_codes = values = bad_values = unexplained = 0
    for sample in range(samples):
        expected = run_qonnx(wrapper, inputs, sample, quantizers + outputs)
        flips = 0
        for name in quantizers:
            wrong = differing(computed[name][sample].reshape(-1), expected[name].reshape(-1))
            codes, flips = codes + wrong.size, flips + int(wrong.sum())
        bad_codes += flips
        for name in outputs:
            wrong = differing(computed[name][sample].reshape(-1), expected[name].reshape(-1))
            values, bad_values = values + wrong.size, bad_values + int(wrong.sum())
            unexplained += int(wrong.sum()) if flips == 0 else 0
    print(f"{path.name}: {samples} samples, {bad_values} of {values} output values beyond "
          f"{TOLERANCE}, {bad_codes} of {codes} codes differ")
    return unexplained == 0 and bad_codes <= max(1, codes // 1_000_000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tandem", default="build/release/tandem")
    options = parser.parse_args()
    os.environ.setdefault("SANITIZE_QUANT_TENSORS", "1")
    warnings.simplefilter("ignore")
    equal = [compare(path, options.samples, options.seed, options.tandem)
             for path in options.models]
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
