"""What the tests of the Python package share."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

REPO = Path(__file__).resolve().parents[2]
DIGITS = REPO / "examples/digits/digits.onnx"
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

