"""Loading networks and running them on arrays."""

import os
import signal
import subprocess
import sys
import threading
import time

import ml_dtypes
import numpy as np
import pytest
from conftest import model_of
from onnx import TensorProto, helper

import tandem

INTEGERS = """tandem-module 1
constant @w : int8[3,2] = [1,-2,3,4,-5,6]
constant @scale : f64[] = [0.5]
constant @offset : f64[] = [-1]
graph @main(%x : int8[1,3] coded(@scale,@offset)) -> (%y) {
  %w = constant @w
  %y : int32[1,2] = IntMatMul(%x, %w) {format = int32} "y"
}
"""


def identity(element_type, shape=("N",), op="Identity"):
    return model_of([helper.make_node(op, ["x"], ["y"])], [("x", element_type, shape)],
                    [("y", element_type, shape)])


def test_reads_files_bytes_and_messages(affine, tmp_path):
    model, weights, bias = affine
    path = tmp_path / "affine.onnx"
    path.write_bytes(model.SerializeToString())
    x = np.arange(12, dtype="f4").reshape(4, 3)
    for source in (path, str(path), path.read_bytes(), model):
        y = tandem.load(source).run({"x": x})["y"]
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, x @ weights + bias, rtol=1e-6)
    text = tandem.load(path).text()
    assert tandem.load(text.encode()).text() == text


def test_ports_say_names_shapes_and_dtypes(affine):
    network = tandem.load(affine[0])
    (x,), (y,) = network.inputs, network.outputs
    assert (x.name, x.shape, x.format, x.dtype) == ("x", ("N", 3), "f32", np.float32)
    assert (y.name, y.shape, x.scale) == ("y", ("N", 2), None)
    assert tandem.load(affine[0], bind={"N": 4}).inputs[0].shape == (4, 3)


def test_integers_run_on_kernels_and_carry_their_coding():
    network = tandem.load(INTEGERS.encode())
    x = np.array([[7, -8, 127]], np.int8)
    w = np.array([[1, -2], [3, 4], [-5, 6]])
    y = network.run({"x": x})["y"]
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, x.astype(int) @ w)
    port = network.inputs[0]
    assert (float(port.scale), float(port.offset)) == (0.5, -1.0)


def test_reals_run_on_kernels_for_each_shape(affine):
    model, weights, bias = affine
    network = tandem.load(model)
    before = tandem.thread_count()
    for batch in (4, 1, 300, 4):
        x = np.random.default_rng(batch).normal(size=(batch, 3)).astype("f4")
        y = network.run({"x": x}, execution="cpu")["y"]
        np.testing.assert_allclose(y, x @ weights + bias, rtol=1e-5, atol=1e-6)
        tandem.set_thread_count(3)
        np.testing.assert_array_equal(network.run({"x": x}, execution="cpu")["y"], y)
        tandem.set_thread_count(before)
        np.testing.assert_allclose(network.run({"x": x}, execution="reference")["y"], y, rtol=1e-5,
                                   atol=1e-6)
    measured = network.bench({"x": x}, runs=5)
    assert len(measured["seconds"]) == 5 and measured["operations"] == 2 * 4 * 3 * 2
    assert measured["peak_operations_per_second"] > 1e9
    (step,) = network.profile({"x": x}, runs=5)
    assert (step["op"], step["kernel"]) == ("Gemm", "dense_product") and step["seconds"] > 0


def test_refuses_what_cannot_be_run_or_timed(affine):
    network = tandem.load(affine[0])
    x = np.zeros((2, 3), "f4")
    with pytest.raises(tandem.Error, match="did you mean 'cpu'"):
        network.run({"x": x}, execution="cpuu")
    with pytest.raises(tandem.Error, match="runs = -1"):
        network.bench({"x": x}, runs=-1)
    with pytest.raises(tandem.Error, match="at least 1"):
        tandem.set_thread_count(0)


@pytest.mark.parametrize("element_type, dtype", [
    (TensorProto.FLOAT, np.float32), (TensorProto.DOUBLE, np.float64),
    (TensorProto.FLOAT16, np.float16), (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    (TensorProto.BOOL, np.bool_), (TensorProto.INT8, np.int8), (TensorProto.UINT8, np.uint8),
    (TensorProto.INT16, np.int16), (TensorProto.UINT16, np.uint16),
    (TensorProto.INT32, np.int32), (TensorProto.UINT32, np.uint32),
    (TensorProto.INT64, np.int64), (TensorProto.UINT64, np.uint64)])
def test_every_dtype_comes_back_as_it_went(element_type, dtype):
    network = tandem.load(identity(element_type))
    x = np.array([0, 1, 3, 100]).astype(dtype)
    y = network.run({"x": x})["y"]
    assert y.dtype == x.dtype == network.outputs[0].dtype
    assert y.tobytes() == x.tobytes()


def test_narrow_integers_come_as_bytes():
    network = tandem.load(identity(TensorProto.INT4))
    assert network.run({"x": np.array([-8, 7], np.int8)})["y"].tolist() == [-8, 7]
    assert network.run({"x": np.array([-8, 7], ml_dtypes.int4)})["y"].tolist() == [-8, 7]
    with pytest.raises(tandem.Error, match="input 'x'.*8"):
        network.run({"x": np.array([8], np.int8)})


def test_layout_and_byte_order_do_not_matter():
    network = tandem.load(identity(TensorProto.FLOAT, ("A", "B")))
    x = np.arange(12, dtype="f4").reshape(3, 4)
    read_only = x.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("f4").reshape(3, 4)
    for array in (x.T, x[:, ::2], x.astype(">f4"), read_only, unaligned, np.asfortranarray(x)):
        np.testing.assert_array_equal(network.run({"x": array})["y"], array)


def test_lists_and_numbers_take_the_declared_dtype():
    network = tandem.load(identity(TensorProto.FLOAT, ()))
    y = network.run({"x": 2})["y"]
    assert (y.shape, y.dtype, float(y)) == ((), np.float32, 2.0)


def test_outputs_own_their_memory():
    constant = np.array([1, 2], "f4")
    network = tandem.load(model_of(
        [helper.make_node("Identity", ["c"], ["y"]), helper.make_node("Identity", ["x"], ["z"])],
        [("x", TensorProto.FLOAT, [2])],
        [("y", TensorProto.FLOAT, [2]), ("z", TensorProto.FLOAT, [2])], [("c", constant)]))
    x = np.array([3, 4], "f4")
    outputs = network.run({"x": x})
    outputs["y"][0] = outputs["z"][0] = 9
    assert x.tolist() == [3, 4]
    assert network.run({"x": x})["y"].tolist() == [1, 2]
    y = outputs.pop("y")
    del network, outputs
    assert y.tolist() == [9, 2]


def test_contiguous_inputs_are_not_copied():
    # Pages of zeros that nobody touches take no memory; a copy would take all of it.
    program = """
import numpy, resource, sys, tandem
network = tandem.load(sys.stdin.buffer.read())
x = numpy.zeros((1 << 28,), numpy.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert network.run({"x": x})["y"].shape == (2,)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    model = model_of(
        [helper.make_node("Slice", ["x", "start", "end"], ["y"])],
        [("x", TensorProto.FLOAT, [1 << 28])], [("y", TensorProto.FLOAT, [2])],
        [("start", np.array([0])), ("end", np.array([2]))])
    done = subprocess.run([sys.executable, "-c", program], input=model.SerializeToString(),
                          stdout=subprocess.PIPE, check=True, timeout=120)
    assert int(done.stdout) < 64 << 10  # KiB; the array has 1 GiB


class OnlyDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_goes_in_and_out():
    network = tandem.load(identity(TensorProto.FLOAT))
    y = network.run({"x": OnlyDlpack(np.array([1, 2], "f4"))})["y"]
    assert np.from_dlpack(OnlyDlpack(y)).tolist() == [1, 2]


def test_threads_share_a_network(affine):
    model, weights, bias = affine
    network = tandem.load(model)
    wrong = []

    def work(seed):
        x = np.random.default_rng(seed).normal(size=(5, 3)).astype("f4")
        for _ in range(50):
            if not np.allclose(network.run({"x": x})["y"], x @ weights + bias, rtol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_ctrl_c_ends_a_run(tmp_path):
    size, nodes = 256, 20000
    chain = [helper.make_node("MatMul", [f"v{i}", "w"], [f"v{i + 1}"]) for i in range(nodes)]
    model = model_of(chain, [("v0", TensorProto.FLOAT, [size, size])],
                     [(f"v{nodes}", TensorProto.FLOAT, [size, size])],
                     [("w", np.eye(size, dtype="f4"))])
    path = tmp_path / "long.onnx"
    path.write_bytes(model.SerializeToString())
    program = """
import numpy, sys, tandem
network = tandem.load(sys.argv[1])
print("running", flush=True)
try:
    network.run({"v0": numpy.ones((256, 256), numpy.float32)})
except KeyboardInterrupt:
    print("interrupted", flush=True)
    import signal
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "running\n"
        time.sleep(0.5)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(timeout=60) == 0


def test_errors_have_the_texts_of_the_command_line(affine, tmp_path):
    network = tandem.load(affine[0])
    x = np.zeros((2, 3), "f4")
    for inputs, text in [
            ({"x": x.astype("f8")}, "input 'x' is f32[N,3], not f64[2,3]"),
            ({"x": x.T}, "input 'x' is f32[N,3], not f32[3,2]"),
            ({}, "input 'x' is missing"),
            ({"x": x, "xx": x}, "the network has no input 'xx'; did you mean 'x'?"),
            ({"x": np.array(["a"])}, "input 'x': elements of dtype str32 are no numbers")]:
        with pytest.raises(tandem.Error) as raised:
            network.run(inputs)
        assert str(raised.value).startswith(text)
    with pytest.raises(tandem.Error, match="there is no file"):
        tandem.load(tmp_path / "absent.onnx")
    with pytest.raises(tandem.Error, match="model in memory: not an ONNX model, or truncated"):
        tandem.load(b"no model")
    assert issubclass(tandem.Error, ValueError) and issubclass(tandem.RefusedModel, tandem.Error)


def test_refused_nodes_are_listed():
    model = model_of([helper.make_node("NoSuchOperator", ["x"], ["y"], name="odd")],
                     [("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, None)])
    with pytest.raises(tandem.RefusedModel) as raised:
        tandem.load(model)
    (node,) = raised.value.nodes
    assert (node["node"], node["op"]) == ("odd", "NoSuchOperator")
    assert node["reason"] in str(raised.value) and node["remedy"] in str(raised.value)
