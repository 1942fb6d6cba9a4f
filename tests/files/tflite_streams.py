"""TensorFlow Lite models whose state lives in resource variables."""

from collections.abc import Callable
from typing import Any

import numpy as np
from tflite_graphs import RELU, VALID, Graph, conv_options, options
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema


class Stream:
    """A graph with a subgraph that CALL_ONCE runs before the first call to set the variables."""

    def __init__(self, seed: int) -> None:
        self.main = Graph(seed)
        self.once = Graph(seed)
        self.once.model = self.main.model
        self.main.model.subgraphs.append(self.once.graph)
        self.main.op("CALL_ONCE", [], [], options("CallOnceOptions", initSubgraphIndex=1))

    def handle(self, graph: Graph, name: str, container: str = "") -> int:
        index = graph.tensor([], np.int32, name=f"{name}.handle")
        graph.graph.tensors[index].type = schema.TensorType.RESOURCE
        graph.op("VAR_HANDLE", [], [index],
                 options("VarHandleOptions", container=container, sharedName=name))
        return index

    def initialize(self, name: str, data: np.ndarray, scale: Any, zero: int = 0) -> None:
        constant = self.once.tensor(list(data.shape), data.dtype, scale, zero, data=data)
        self.once.op("ASSIGN_VARIABLE", [self.handle(self.once, name), constant], [])

    def read(self, handle: int, shape: list[int], dtype: Any, scale: Any, zero: int = 0) -> int:
        index = self.main.tensor(shape, dtype, scale, zero)
        self.main.op("READ_VARIABLE", [handle], [index])
        return index

    def assign(self, handle: int, value: int) -> None:
        self.main.op("ASSIGN_VARIABLE", [handle, value], [])


def shifted(g: Graph, window: int, rows: int, columns: int, scale: float, zero: int) -> int:
    """All rows of a window [1, rows, 1, columns] but the oldest."""
    kept = g.tensor([1, rows - 1, 1, columns], np.int8, scale, zero)
    begin, end, step = (g.integers(v) for v in ([0, 1, 0, 0], [1, rows, 1, columns], [1] * 4))
    g.op("STRIDED_SLICE", [window, begin, end, step], [kept], options("StridedSliceOptions"))
    return kept


def keyword_spotter(frames: int = 8, bins: int = 10, channels: int = 8, pooled: int = 4,
                    classes: int = 4) -> bytes:
    """One frame of features per call -> scores. A convolution over the last `frames` frames, a ring
    of the last `pooled` of its results, and a fully connected head: two variables that start at
    their zero point, and one that starts at random codes, a sum that fades (y = ADD(MUL(y), x))."""
    s = Stream(7)
    g = s.main
    s.initialize("frames", np.full([1, frames - 1, 1, bins], -20, np.int8), 0.05, -20)
    s.initialize("features", np.full([1, pooled - 1, 1, channels], -128, np.int8), 0.04, -128)
    s.initialize("loudness", g.random.integers(-100, 100, [1, 1, 1, bins]).astype(np.int8), 0.1, 3)
    names = ("frames", "features", "loudness")
    frames_at, features_at, loudness_at = (s.handle(g, name) for name in names)

    x = g.input([1, 1, 1, bins], np.int8, 0.05, -20)
    old = s.read(frames_at, [1, frames - 1, 1, bins], np.int8, 0.05, -20)
    window = g.tensor([1, frames, 1, bins], np.int8, 0.05, -20)
    g.op("CONCATENATION", [old, x], [window], options("ConcatenationOptions", axis=1))
    s.assign(frames_at, shifted(g, window, frames, bins, 0.05, -20))

    scales = g.random.uniform(0.004, 0.01, channels)
    weights, biases = g.codes([channels, frames, 1, bins], scales), g.bias(channels, 0.05 * scales)
    feature = g.tensor([1, 1, 1, channels], np.int8, 0.04, -128)
    g.op("CONV_2D", [window, weights, biases], [feature],
         conv_options("Conv2DOptions", VALID, activation=RELU))
    old = s.read(features_at, [1, pooled - 1, 1, channels], np.int8, 0.04, -128)
    ring = g.tensor([1, pooled, 1, channels], np.int8, 0.04, -128)
    g.op("CONCATENATION", [old, feature], [ring], options("ConcatenationOptions", axis=1))
    s.assign(features_at, shifted(g, ring, pooled, channels, 0.04, -128))

    loudness = s.read(loudness_at, [1, 1, 1, bins], np.int8, 0.1, 3)
    faded, summed = (g.tensor([1, 1, 1, bins], np.int8, 0.1, 3) for _ in range(2))
    g.op("MUL", [loudness, g.tensor([1], np.int8, 0.007, data=np.array([115]))], [faded],
         options("MulOptions"))
    g.op("ADD", [faded, x], [summed], options("AddOptions"))
    s.assign(loudness_at, summed)

    flat = g.tensor([1, pooled * channels], np.int8, 0.04, -128)
    level = g.tensor([1, bins], np.int8, 0.1, 3)
    g.op("RESHAPE", [ring, g.integers([1, pooled * channels])], [flat], options("ReshapeOptions"))
    g.op("RESHAPE", [summed, g.integers([1, bins])], [level], options("ReshapeOptions"))
    parts = []
    for value, count, scale in ((flat, pooled * channels, 0.04), (level, bins, 0.1)):
        part = g.tensor([1, classes], np.int8, 0.15, 2)
        g.op("FULLY_CONNECTED",
             [value, g.codes([classes, count], 0.01), g.bias(classes, scale * 0.01)], [part],
             options("FullyConnectedOptions"))
        parts.append(part)
    scores = g.tensor([1, classes], np.int8, 0.2, 1)
    g.op("ADD", parts, [scores], options("AddOptions"))
    return g.bytes([scores])


def exchanged() -> bytes:
    """a, b = b, a + x; both as they were are outputs, and so is b as assigned."""
    s = Stream(1)
    g = s.main
    s.initialize("a", np.array([[1, -2, 3]], np.int8), 0.5)
    s.initialize("b", np.array([[9, 9, 9]], np.int8), 0.5)
    a_at, b_at = s.handle(g, "a"), s.handle(g, "b")
    x = g.input([1, 3], np.int8, 0.5)
    a, b = (s.read(at, [1, 3], np.int8, 0.5) for at in (a_at, b_at))
    y = g.tensor([1, 3], np.int8, 0.5)
    g.op("ADD", [a, x], [y], options("AddOptions"))
    s.assign(a_at, b)
    s.assign(b_at, y)
    again = s.read(b_at, [1, 3], np.int8, 0.5)
    z = g.tensor([1, 3], np.int8, 0.5)
    g.op("ADD", [again, again], [z], options("AddOptions"))
    return g.bytes([z])


def delayed() -> bytes:
    """A chain of variables: the input of two calls before."""
    s = Stream(2)
    g = s.main
    for name, start in (("first", 5), ("second", -7)):
        s.initialize(name, np.full([1, 4], start, np.int8), 0.1)
    first_at, second_at = s.handle(g, "first"), s.handle(g, "second")
    x = g.input([1, 4], np.int8, 0.1)
    first, second = (s.read(at, [1, 4], np.int8, 0.1) for at in (first_at, second_at))
    s.assign(second_at, first)
    s.assign(first_at, x)
    y = g.tensor([1, 4], np.int8, 0.1)
    g.op("RELU", [second], [y])
    return g.bytes([y])


def real() -> bytes:
    """A variable of reals: y = y / 2 + x."""
    s = Stream(3)
    g = s.main
    s.initialize("sum", np.array([[1, 0.5, -1, 2]], np.float32), None)
    at = s.handle(g, "sum")
    x = g.input([1, 4], np.float32)
    old = s.read(at, [1, 4], np.float32, None)
    half, y = g.tensor([1, 4], np.float32), g.tensor([1, 4], np.float32)
    g.op("MUL", [old, g.tensor([1], np.float32, data=np.array([0.5]))], [half],
         options("MulOptions"))
    g.op("ADD", [half, x], [y], options("AddOptions"))
    s.assign(at, y)
    return g.bytes([y])


# By name: the model, and how many calls follow each other.
STREAMS: dict[str, tuple[bytes, int]] = {
    "keyword_spotter": (keyword_spotter(), 200),
    "exchanged": (exchanged(), 40),
    "delayed": (delayed(), 40),
    "real": (real(), 40)
}


# ---- What is refused -----------------------------------------------------------------------------


def small() -> tuple[Stream, int, int]:
    """x is added to a variable; the handle and the sum."""
    s = Stream(0)
    g = s.main
    s.initialize("sum", np.zeros([1, 4], np.int8), 0.1)
    at = s.handle(g, "sum")
    x = g.input([1, 4], np.int8, 0.1)
    old = s.read(at, [1, 4], np.int8, 0.1)
    y = g.tensor([1, 4], np.int8, 0.1)
    g.op("ADD", [old, x], [y], options("AddOptions"))
    s.assign(at, y)
    g.graph.outputs = [y]
    return s, at, y


def refused_streams() -> dict[str, tuple[bytes, str]]:
    refused: dict[str, tuple[bytes, str]] = {}

    def edited(name: str, message: str, edit: Callable[[Stream, int, int], None]) -> None:
        s, at, y = small()
        edit(s, at, y)
        refused[name] = (s.main.bytes(), message)

    def uninitialized(s: Stream, at: int, y: int) -> None:
        other = s.handle(s.main, "other")
        s.main.graph.outputs = [s.read(other, [1, 4], np.int8, 0.1)]

    def twice(s: Stream, at: int, y: int) -> None:
        s.assign(at, y)

    def rescaled(s: Stream, at: int, y: int) -> None:
        s.main.graph.outputs = [s.read(at, [1, 4], np.int8, 0.2)]

    def reshaped(s: Stream, at: int, y: int) -> None:
        s.main.graph.outputs = [s.read(at, [2, 2], np.int8, 0.1)]

    def computes(s: Stream, at: int, y: int) -> None:
        result = s.once.tensor([1, 4], np.int8, 0.1)
        s.once.op("RELU", [1], [result])

    def initialized_twice(s: Stream, at: int, y: int) -> None:
        s.initialize("sum", np.ones([1, 4], np.int8), 0.1)

    def called_late(s: Stream, at: int, y: int) -> None:
        s.main.op("CALL_ONCE", [], [], options("CallOnceOptions", initSubgraphIndex=1))

    def no_subgraph(s: Stream, at: int, y: int) -> None:
        s.main.graph.operators[0].builtinOptions.initSubgraphIndex = 2

    def itself(s: Stream, at: int, y: int) -> None:
        s.main.graph.operators[0].builtinOptions.initSubgraphIndex = 0

    def no_handle(s: Stream, at: int, y: int) -> None:
        s.main.graph.outputs = [s.read(y, [1, 4], np.int8, 0.1)]

    def nameless(s: Stream, at: int, y: int) -> None:
        for operator in s.main.graph.operators:
            if isinstance(operator.builtinOptions, schema.VarHandleOptionsT):
                operator.builtinOptions, operator.builtinOptionsType = None, 0

    def typed(s: Stream, at: int, y: int) -> None:
        s.main.graph.tensors[at].type = schema.TensorType.INT32

    def unassigned(s: Stream, at: int, y: int) -> None:
        s.main.graph.operators[-1].inputs = [at]

    edited("uninitialized", "the variable 'other' is read before it has a value; assign a constant",
           uninitialized)
    edited("assigned_twice", "the variable 'sum' is assigned twice in a call", twice)
    edited("rescaled", "which differ in type or scale", rescaled)
    edited("reshaped", "which differ in type or scale", reshaped)
    edited("computes", "its subgraph 1 does more than assigning constants (RELU)", computes)
    edited("initialized_twice", "the variable 'sum' has a value already", initialized_twice)
    edited("called_late", "the variable 'sum' has a value already", called_late)
    edited("no_subgraph", "refers to subgraph 2 of 2", no_subgraph)
    edited("itself", "refers to subgraph 0 of 2", itself)
    edited("no_handle", "is no handle that VAR_HANDLE made", no_handle)
    edited("nameless", "(VAR_HANDLE): its options are missing", nameless)
    edited("typed_handle", "is no resource", typed)
    edited("unassigned", "(ASSIGN_VARIABLE): input 1 is absent", unassigned)
    return refused
