"""Models that lie about their sizes, or never end: refused or right, and within a stated memory."""

import os
import resource
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

# Address space in which every model here is read and shown, program and libraries included.
MOST_MEMORY = 1 << 30
SECONDS = 60
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def shown(path):
    """Exit code and text of `tandem show` in little memory."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

    done = subprocess.run([os.environ["TANDEM_PROGRAM"], "show", str(path)], check=False,
                          capture_output=True, text=True, timeout=SECONDS, preexec_fn=limit)
    return done.returncode, done.stdout + done.stderr


def graph_of(nodes, inputs=(("x", FLOAT, [2, 3]),), constants=(), outputs=("y",)):
    return helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs], list(constants))


def model_of(graph, functions=()):
    return helper.make_model(graph, ir_version=9, functions=functions, opset_imports=[
        helper.make_opsetid("", 17), helper.make_opsetid("f", 1)])


def integers(name, *values):
    return numpy_helper.from_array(np.array(values, "i8"), name)


def claimed(dims, name="w", kind=FLOAT):
    """An initializer without its elements."""
    return TensorProto(name=name, dims=dims, data_type=kind)


def node(op, *inputs, **attributes):
    return helper.make_node(op, inputs, ["y"], **attributes)


def function(name, nodes):
    return helper.make_function("f", name, ["a"], ["b"], nodes, [helper.make_opsetid("", 17),
                                                                helper.make_opsetid("f", 1)])


def call(name, source, result):
    return helper.make_node(name, [source], [result], domain="f")


def doubling(levels):
    """Functions each of which calls the one before twice."""
    functions = [function("f0", [helper.make_node("Relu", ["a"], ["b"])])]
    for level in range(1, levels):
        functions.append(function(f"f{level}", [call(f"f{level - 1}", "a", "m"),
                                                call(f"f{level - 1}", "m", "b")]))
    return model_of(graph_of([call(f"f{levels - 1}", "x", "y")]), functions)


def nested(depth):
    """An If inside an If, and so on."""
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "leaf", [],
                              [helper.make_tensor_value_info("r", FLOAT, None)])
    for level in range(depth):
        inner = helper.make_node("If", ["c"], [f"r{level}"], then_branch=graph, else_branch=graph
                                 if level == 0 else helper.make_graph(
                                     [helper.make_node("Relu", ["x"], [f"e{level}"])], "other", [],
                                     [helper.make_tensor_value_info(f"e{level}", FLOAT, None)]))
        graph = helper.make_graph([inner], f"level{level}", [],
                                  [helper.make_tensor_value_info(f"r{level}", FLOAT, None)])
    outer = graph_of(list(graph.node), (("x", FLOAT, [2]), ("c", TensorProto.BOOL, [])),
                     outputs=(f"r{depth - 1}",))
    return model_of(outer)


def endless_loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "body", [helper.make_tensor_value_info("i", INT64, []),
                 helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                 helper.make_tensor_value_info("v", FLOAT, [2, 3])],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("w", FLOAT, [2, 3])])
    return model_of(graph_of([helper.make_node("Loop", ["", "", "x"], ["y"], body=body)]))


HUGE = 1 << 40
REFUSED = {
    "product_of_an_input": model_of(graph_of([node("Relu", "x")],
                                             [("x", FLOAT, [1 << 31, 1 << 31, 1 << 31])])),
    "product_of_an_initializer": model_of(graph_of([node("Add", "x", "w")],
                                                   constants=[claimed([1 << 32, 1 << 32])])),
    "negative_initializer": model_of(graph_of([node("Add", "x", "w")],
                                              constants=[claimed([-2, 3])])),
    "initializer_that_is_absent": model_of(graph_of([node("Add", "x", "w")],
                                                    constants=[claimed([1 << 28])])),
    "reshape": model_of(graph_of([node("Reshape", "x", "s")],
                                 constants=[integers("s", HUGE, HUGE, -1)])),
    "cycle": model_of(graph_of([helper.make_node("Add", ["x", "y"], ["a"]), node("Relu", "a")])),
    "function_in_itself": model_of(graph_of([call("F", "x", "y")]),
                                   [function("F", [call("F", "a", "b")])]),
    "functions_in_each_other": model_of(graph_of([call("F", "x", "y")]),
                                        [function("F", [call("G", "a", "b")]),
                                         function("G", [call("F", "a", "b")])]),
    "doubling_functions": doubling(40),
    "tile_beyond_64_bits": model_of(graph_of([node("Tile", "x", "r")],
                                             constants=[integers("r", 1 << 62, 1 << 62)])),
    "range": model_of(graph_of([node("Range", "a", "b", "c")],
                               constants=[integers("a"), integers("b"), integers("c")])),
    "one_hot": model_of(graph_of([node("OneHot", "i", "d", "v")], [("i", INT64, [2])],
                                 [integers("d", 1 << 62), integers("v", 0, 1)])),
    "pad": model_of(graph_of([node("Pad", "x", "p")],
                             constants=[integers("p", 1 << 62, 1 << 62, 1 << 62, 1 << 62)])),
    "axis": model_of(graph_of([node("Concat", "x", "x", axis=1 << 60)])),
    "split_sizes": model_of(graph_of([helper.make_node("Split", ["x", "s"], ["y", "z"], axis=1)],
                                     constants=[integers("s", (1 << 63) - 1, 4)])),
    "missing_value": model_of(graph_of([node("Add", "x", "nothing")])),
    "two_of_a_name": model_of(graph_of([node("Relu", "x"), node("Abs", "x")])),
}
TAKEN = {
    "no_samples": model_of(graph_of([node("Relu", "x")], [("x", FLOAT, [0, 3])])),
    "negative_extent_is_any": model_of(graph_of([node("Relu", "x")], [("x", FLOAT, [-1, 3])])),
    "nested": nested(30),  # as deep as messages may lie in each other
    "endless_loop": endless_loop(),
    "large_fill": model_of(graph_of([node("ConstantOfShape", "s")],
                                    constants=[integers("s", 1 << 15, 1 << 14)])),
    "large_expand": model_of(graph_of([node("Expand", "x", "s")],
                                      constants=[integers("s", 1 << 20, 2, 3)])),
}


def save(model, folder):
    path = folder / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name, tmp_path):
    code, text = shown(save(REFUSED[name], tmp_path))
    assert code == 2 and "hostile.onnx" in text and "internal error" not in text, text


@pytest.mark.parametrize("name", TAKEN)
def test_is_taken(name, tmp_path):
    code, text = shown(save(TAKEN[name], tmp_path))
    assert code == 0, text


def test_many_nodes_take_little(tmp_path):
    """A chain as long as hundreds of the largest networks together."""
    count = 100_000
    nodes = [helper.make_node("Relu", [f"v{i}" if i else "x"], [f"v{i + 1}"])
             for i in range(count)]
    code, text = shown(save(model_of(graph_of(nodes, outputs=(f"v{count}",))), tmp_path))
    assert code == 0 and f"{count * 6:,}" in text


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", "", ".",
                                      "sub/../../secret.bin"])
def test_external_data_stay_in_the_folder(location, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    tensor = claimed([2, 3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    code, text = shown(save(model_of(graph_of([node("Add", "x", "w")], constants=[tensor])),
                            folder))
    assert code == 2 and "'w'" in text, text


@pytest.mark.parametrize("entries", [{"offset": "8"}, {"offset": str(1 << 63)},
                                     {"length": str(1 << 62)}, {"offset": "-8"}])
def test_external_data_stay_in_their_file(entries, tmp_path):
    (tmp_path / "data.bin").write_bytes(bytes(24))
    tensor = claimed([2, 3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "data.bin"} | entries).items():
        tensor.external_data.add(key=key, value=value)
    code, text = shown(save(model_of(graph_of([node("Add", "x", "w")], constants=[tensor])),
                            tmp_path))
    assert code == 2 and "'w'" in text, text


def test_every_cut_of_a_file_is_refused_or_taken(tmp_path):
    whole = model_of(graph_of([node("Add", "x", "w")], constants=[numpy_helper.from_array(
        np.ones((2, 3), "f4"), "w")])).SerializeToString()
    path = tmp_path / "hostile.onnx"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        code, text = shown(path)
        assert code in (0, 2) and "internal error" not in text, text
