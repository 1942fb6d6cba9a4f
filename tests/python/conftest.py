"""What the tests of the Python package share."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import tandem

REPO = Path(__file__).resolve().parents[2]
DIGITS = REPO / "examples/digits/digits.onnx"
# Of every family.
FORMATS = ("int8", "uint8", "int4", "bipolar", "ternary", "fixed<8,3>", "ufixed<6,-1>", "e4m3",
           "e5m2", "e2m1", "nf4", "pow2<4>", "log2<4>", "khot<8,2>")
DATA = f"npz:{REPO / 'examples/digits/digits.npz'}"


def model_of(nodes, inputs, outputs, constants=()):
    """An ONNX model; inputs and outputs are (name, element type, shape)."""
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.fixture
def affine():
    """y = x @ w + b over a symbolic batch."""
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(size=(3, 2)).astype("f4"), np.array([1, -2], "f4")
    model = model_of([helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
                     [("x", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 2])],
                     [("w", weights), ("b", bias)])
    return model, weights, bias


@pytest.fixture
def command_line():
    """Runs a verb with --json and returns what it printed."""
    def run(*arguments):
        program = os.environ["TANDEM_PROGRAM"]
        done = subprocess.run([program, *map(str, arguments), "--json", "--quiet"],
                              stdout=subprocess.PIPE, check=False, timeout=300)
        return json.loads(done.stdout)
    return run


def hard_values(form, count=1_000_000, seed=5):
    """f32: of many sizes, with zeros of both signs, subnormals, huge ones, the format's own numbers
    times a scale of 1 or 1/4, and the middles between them."""
    rng = np.random.default_rng(seed)
    sizes = np.exp2(rng.uniform(-12, 12, count)).astype("f4")
    x = (rng.standard_normal(count, dtype="f4") * sizes).astype("f4")
    kind = tandem.Format(form)
    numbers = np.unique(kind.decode(kind.codes()))
    numbers = numbers[np.isfinite(numbers)]
    middles = (numbers[1:] + numbers[:-1]) / 2
    for i, kind in enumerate((numbers, middles, numbers / 4, middles / 4)):
        x[i * 20_000:(i + 1) * 20_000] = rng.choice(kind, 20_000)
    x[100_000:100_500] = rng.choice(np.array([0.0, -0.0, 1e-45, -1e-45, 1e-39, -3e-40], "f4"), 500)
    x[101_000:101_500] = rng.choice(np.array([3.4e38, -3.4e38, 1e30, -1e20, 65504], "f4"), 500)
    rng.shuffle(x)
    return x
