"""Sizes that the inputs or the data decide, beside onnxruntime; operators that are not known."""

import os
import subprocess

import numpy as np
import onnx
import onnx.parser
import pytest

import tandem

onnxruntime = pytest.importorskip("onnxruntime")

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'
# name: graph, then the sizes (batch, length, past) that it is run with
SIZED = {
    "positions": """g (float[B,L] x) => (float[B,L] y)
        <int64 zero = {0}, int64 one = {1}, int64[1] axis = {0}> {
        shape = Shape (x)
        length = Gather <axis = 0> (shape, one)
        places = Range (zero, length, one)
        real = Cast <to = 1> (places)
        y = Add (x, real)
    }""",
    "real_range": """g (float[B,L] x) => (float[B,L] y)
        <float zero = {0.0}, float two = {1.0}, int64 one = {1}> {
        shape = Shape (x)
        length = Gather <axis = 0> (shape, one)
        limit = Cast <to = 1> (length)
        places = Range (zero, limit, two)
        y = Mul (x, places)
    }""",
    "causal": """g (float[B,L] x, float[B,P] cache) => (float[L,T] y, float[L,T] z)
        <int64 zero = {0}, int64 one = {1}, float fill = {1.0}, int64[1] first = {0}> {
        lengths = Shape <start = 1> (x)
        pasts = Shape <start = 1> (cache)
        totals = Add (lengths, pasts)
        square = Concat <axis = 0> (totals, totals)
        ones = ConstantOfShape <value = float[1] {1.0}> (square)
        lower = Trilu <upper = 0> (ones)
        y = Slice (lower, pasts, totals, first)
        length = Squeeze (lengths)
        total = Squeeze (totals)
        past = Squeeze (pasts)
        rows = Range (past, total, one)
        columns = Range (zero, total, one)
        column = Unsqueeze (rows, one_axis)
        hidden = Greater (columns, column)
        z = Cast <to = 1> (hidden)
    }""".replace("int64[1] first = {0}", "int64[1] first = {0}, int64[1] one_axis = {1}"),
    "buffer": """g (float[B,L] x) => (float[1,L] y, float[B,K] z, float[B,M] last)
        <int64[1] none = {0}, int64[1] one = {1}, int64[1] minus = {-1}, int64[1] far =
        {9223372036854775807}> {
        length = Shape <start = 1> (x)
        both = Mul (length, one)
        table = Constant <value_floats = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5]> ()
        row = Unsqueeze (table, none)
        y = Slice (row, none, length, one)
        z = Slice (x, none, minus, one)
        last = Slice (x, minus, far, one)
    }""",
    "expanded": """g (float[B,L] x) => (float[B,3,L] y, float[K,M] z)
        <float one = {1.0}, int64[1] three = {3}, int64[1] middle = {1}> {
        batch = Shape <start = 0, end = 1> (x)
        length = Shape <start = 1> (x)
        shape = Concat <axis = 0> (batch, three, length)
        wide = Unsqueeze (x, middle)
        y = Expand (wide, shape)
        twice = Concat <axis = 0> (length, batch)
        z = Tile (x, twice)
    }""",
    "two_open": """g (float[B,L,6] x) => (float[B,L,3,2] y)
        <int64[2] flat = {-1, 6}, int64[2] heads = {3, 2}> {
        sizes = Shape <start = 0, end = 2> (x)
        rows = Reshape (x, flat)
        shape = Concat <axis = 0> (sizes, heads)
        y = Reshape (rows, shape)
    }""",
    "half_as_data": """g (float[B,L] x) => (float[B,L] y)
        <int64[1] two = {2}> {
        length = Shape <start = 1> (x)
        half = Div (length, two)
        real = Cast <to = 1> (half)
        y = Add (x, real)
    }""",
    "one_size_by_two_names": """g (float[B,L] x, float[B,P] cache, float[B,T] mask) =>
        (float[B,T] y) {
        all = Concat <axis = 1> (cache, x)
        y = Mul (all, mask)
    }""",
}


def model_of(text):
    model = onnx.parser.parse_model(HEADER + text)
    for output in model.graph.output:
        if output.type.tensor_type.elem_type == onnx.TensorProto.UNDEFINED:
            output.ClearField("type")
    return model


def array(shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def assert_equal(model, inputs, execution):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    computed = tandem.load(model).run(inputs, execution=execution)
    for output, want in zip(session.get_outputs(), session.run(None, inputs), strict=True):
        got = computed[output.name]
        assert got.shape == want.shape and got.dtype == want.dtype, output.name
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=output.name)


@pytest.mark.parametrize("execution", ["cpu", "reference"])
@pytest.mark.parametrize("name", SIZED)
def test_sizes_of_inputs(name, execution):
    model = model_of(SIZED[name])
    for batch, length, past in [(1, 1, 1), (2, 7, 3), (3, 9, 5)]:
        sizes = {"x": (batch, length), "cache": (batch, past), "mask": (batch, length + past)}
        if name == "two_open":
            sizes["x"] = (batch, length, 6)
        inputs = {port.name: array(sizes[port.name]) for port in model.graph.input}
        assert_equal(model, inputs, execution)


def test_a_size_beyond_a_buffer_is_refused():
    model = model_of(SIZED["buffer"])
    with pytest.raises(tandem.Error, match=r"L = 10 is out of its bounds \[1,9\]"):
        tandem.load(model).run({"x": array((1, 10))})


def test_an_undecided_size_says_why():
    model = model_of("""g (float[B,L] x) => (float[N] y) <int64[1] two = {2}> {
        length = Shape <start = 1> (x)
        half = Div (length, two)
        y = ConstantOfShape (half)
    }""")
    with pytest.raises(tandem.Error, match="L / 2 is no whole dimension"):
        tandem.load(model)


# ---- Sizes that data decide ----

SELECTING = {
    "counted": """g (float[B,L] x) => (float[M] y) {
        places = NonZero (x)
        count = Shape <start = 1> (places)
        y = ConstantOfShape <value = float[1] {2.5}> (count)
    }""",
    "nonzero": """g (float[B,L] x) => (int64[2,S] y) {
        y = NonZero (x)
    }""",
    "compress": """g (float[B,L] x) => (float[B,K] y, float[S] z) <float zero = {0.0}> {
        positive = Greater (x, zero)
        every = ReduceMax <axes = [0], keepdims = 0> (x)
        column = Greater (every, zero)
        y = Compress <axis = 1> (x, column)
        exponential = Exp (x)
        w = Reshape (positive, flat)
        z = Compress (exponential, w)
    }""".replace("float zero = {0.0}", "float zero = {0.0}, int64[1] flat = {-1}"),
    "shape_of_selected": """g (float[B,L] x) => (float[M] y, int64[1] count)
        <float zero = {0.0}, int64 one = {1}, int64 none = {0}, int64[1] first = {0}> {
        places = NonZero (x)
        count = Shape <start = 1> (places)
        scalar = Squeeze (count, first)
        numbers = Range (none, scalar, one)
        y = Cast <to = 1> (numbers)
    }""",
}


@pytest.mark.parametrize("execution", ["cpu", "reference"])
@pytest.mark.parametrize("name", SELECTING)
def test_sizes_of_data(name, execution):
    model = model_of(SELECTING[name])
    for seed in range(4):
        x = array((3, 5), seed)
        x[np.abs(x) < 0.4] = 0
        assert_equal(model, {"x": x}, execution)


@pytest.mark.parametrize("execution", ["cpu", "reference"])
def test_boxes_that_data_select(execution):
    model = model_of("""g (float[1,K,4] centers, float[1,C,K] scores) =>
        (float[S,4] kept, float[S] best)
        <int64 most = {3}, float overlap = {0.3}, float least = {0.2}, int64[1] second = {2},
         int64[1] first = {0}> {
        boxes = Abs (centers)
        selected = NonMaxSuppression <center_point_box = 1> (boxes, scores, most, overlap, least)
        places = Gather <axis = 1> (selected, second)
        place = Squeeze (places, one)
        all = Squeeze (boxes, first)
        kept = Gather <axis = 0> (all, place)
        high = ReduceMax <axes = [0, 1], keepdims = 0> (scores)
        best = Gather <axis = 0> (high, place)
    }""".replace("int64[1] first", "int64[1] one = {1}, int64[1] first"))
    for seed in range(4):
        inputs = {"centers": array((1, 20, 4), seed) * 2 + 3,
                  "scores": np.random.default_rng(seed).random((1, 2, 20), dtype="f4")}
        assert_equal(model, inputs, execution)


# ---- Operators that are not known ----

UNKNOWN = """<ir_version: 9, opset_import: ["" : 17, "com.example" : 1]>
g (float[B,4] x) => (float[B,3] y) <float[5,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6}>
DECLARED {
    a = Relu (x)
    b = com.example.Warp <strength = 3, mode = "{soft}"> (a)
    y = MatMul (b, w)
}"""


def unknown_model(folder, declared):
    text = UNKNOWN.replace("> DECLARED", ", float[B,5] b>" if declared else ">")
    text = text.replace(">\nDECLARED", "\n, float[B,5] b>" if declared else ">")
    path = folder / "unknown.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def verb(*arguments):
    done = subprocess.run([os.environ["TANDEM_PROGRAM"], *map(str, arguments)], check=False,
                          capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_an_unknown_operator_is_carried_along(tmp_path, command_line):
    path = unknown_model(tmp_path, declared=True)
    code, text = verb("show", path)
    assert code == 0 and "com.example:Warp" in text
    issues = command_line("check", path, "--target", "cpu")["issues"]
    assert [issue["op"] for issue in issues] == ["com.example:Warp"]
    assert "tandem list operators" in issues[0]["remedy"]
    network = tandem.load(path)
    for execution in ("cpu", "reference"):
        with pytest.raises(tandem.Error, match="no operator com.example:Warp here"):
            network.run({"x": array((2, 4))}, execution=execution)


def test_an_unknown_operator_without_types_is_refused(tmp_path):
    with pytest.raises(tandem.RefusedModel, match="'com.example' is unknown.*value_info"):
        tandem.load(unknown_model(tmp_path, declared=False))
