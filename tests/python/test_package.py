"""The package itself: documentation, type stubs, ONNX's backend interface."""

import ast
import unittest
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import TensorProto, helper

import tandem
from tandem import onnx_backend


def test_stubs_name_and_document_everything():
    folder = Path(tandem.__file__).parent
    assert (folder / "py.typed").exists()
    stub = ast.parse((folder / "_tandem.pyi").read_text())
    found = {node.name: node for node in stub.body if hasattr(node, "name")}
    for name in tandem.__all__:
        if name == "__version__":
            continue
        assert name in found, name
        assert tandem.__dict__[name].__doc__, name
    load = ast.unparse(found["load"])
    assert "str | os.PathLike | bytes | onnx.ModelProto" in load and "-> Module" in load


def test_backend_runs_onnx_s_own_tests():
    tests = onnx.backend.test.BackendTest(onnx_backend, __name__)
    tests.include(r"^test_(gemm_default_vector_bias|conv_with_autopad_same|relu|slice)_cpu$")
    tests.include(r"^test_quantizelinear_cpu$")
    suite = unittest.TestSuite(
        case for case in _flat(tests.test_suite) if "Node" in type(case).__name__)
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun - len(result.skipped) == 5
    assert not result.errors and not result.failures


def _flat(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flat(item)
        else:
            yield item


def test_one_node():
    x = np.array([[-1, 2]], "f4")
    node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)
    (y,) = onnx_backend.run_node(node, [x])
    assert y.tolist() == [[-0.5, 2]]
    assert not onnx_backend.supports_device("CUDA")


def test_parameters_are_bound_where_they_must_be():
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4]),
         helper.make_tensor_value_info("shape", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    network = onnx_backend.prepare(helper.make_model(graph))
    x = np.arange(4, dtype="f4")
    assert network.run([x, np.array([2, 2])])[0].tolist() == [[0, 1], [2, 3]]
    assert network.bound == ("shape",)
    # Other values, another network.
    assert network.run([x, np.array([1, 4])])[0].shape == (1, 4)
    with pytest.raises(ValueError, match="2 inputs, not 1"):
        network.run([x])
