"""TensorFlow Lite models that the reader must refuse, each with a part of the message."""

from collections.abc import Callable
from typing import Any

import numpy as np
from tflite_graphs import TANH, Graph, conv_options, options
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

REFUSED: dict[str, tuple[bytes, str]] = {}


def small() -> tuple[Graph, int, int]:
    """x -> RELU -> y."""
    g = Graph(0)
    x, y = g.input([1, 6], np.int8, 0.05, -128), g.tensor([1, 6], np.int8, 0.05, -128)
    g.op("RELU", [x], [y])
    return g, x, y


def edited(name: str, message: str, edit: Callable[[Graph, Any, Any], None]) -> None:
    g, x, y = small()
    g.graph.outputs = [y]
    edit(g, g.graph.tensors[x], g.graph.tensors[y])
    REFUSED[name] = (g.bytes(), message)


def damaged_files() -> None:
    g, _, y = small()
    data = g.bytes([y])
    REFUSED["empty"] = (b"", "is no TensorFlow Lite model")
    REFUSED["text"] = (b"tandem-module 1" * 9, "is no TensorFlow Lite model")
    REFUSED["half"] = (data[:len(data) // 2], "is damaged")
    broken = bytearray(data)
    broken[0:4] = (len(data) * 2).to_bytes(4, "little")
    REFUSED["root_offset"] = (bytes(broken), "is damaged")


def damaged_models() -> None:

    def setting(target: str, field: str, value: Any) -> Callable[[Graph, Any, Any], None]:

        def edit(g: Graph, x: Any, y: Any) -> None:
            place = {
                "model": g.model,
                "graph": g.graph,
                "x": x,
                "y": y,
                "op": g.graph.operators[0],
                "quantization": y.quantization,
                "code": g.model.operatorCodes[0]
            }[target]
            setattr(place, field, value)

        return edit

    edited("version", "schema version 2", setting("model", "version", 2))
    edited("no_subgraph", "has no subgraph", setting("model", "subgraphs", []))
    edited("no_outputs", "has no outputs", setting("graph", "outputs", []))
    edited("output_index", "lists tensor 9 of 2", setting("graph", "outputs", [9]))
    edited("operator_code", "refers to operator code 7 of 1", setting("op", "opcodeIndex", 7))
    edited("input_index", "an input is tensor 5 of 2", setting("op", "inputs", [5]))
    edited("output_absent", "an output is tensor -1", setting("op", "outputs", [-1]))
    edited("buffer_index", "refers to buffer 4 of 1", setting("x", "buffer", 4))
    edited("scale_zero", "has the scale 0", setting("quantization", "scale", [0.0]))
    edited("scale_nan", "has the scale nan", setting("quantization", "scale", [float("nan")]))
    edited("zero_point", "the zero point 300, which is no code",
           setting("quantization", "zeroPoint", [300]))
    edited("zero_points", "has 1 scales and 2 zero points",
           setting("quantization", "zeroPoint", [1, 2]))
    edited("scales", "has 2 scales for its axis 0", setting("quantization", "scale", [0.1, 0.2]))
    edited("unknown_type", "has elements of type", setting("x", "type", 77))
    edited("strings", "has elements of type STRING", setting("y", "type", schema.TensorType.STRING))
    edited("huge", "elements", setting("x", "shape", [2**31 - 1] * 4))
    edited("axes", "has 9 axes", setting("x", "shape", [1] * 9))
    edited("dynamic", "is dynamic; convert the model with fixed",
           setting("x", "shapeSignature", [-1, -1]))
    edited("shape", "it computes int8[1,6] where the file declares int8[1,5]",
           setting("y", "shape", [1, 5]))
    edited("variable", "keeps its value between calls", setting("y", "isVariable", True))
    edited("code", "(operator code 5000): this operator is not read",
           setting("code", "builtinCode", 5000))
    edited("no_input", "input 0 is absent", setting("op", "inputs", []))
    edited("extra_input", "input 1 has no meaning here", setting("op", "inputs", [0, 0]))
    edited("reads_itself", "which nothing computes before it", setting("op", "inputs", [1]))


def unread_operators() -> None:

    def custom(g: Graph, x: Any, y: Any) -> None:
        g.model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        g.model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        g.model.operatorCodes[0].customCode = "MyOp"

    def several(g: Graph, x: Any, y: Any) -> None:
        z = g.tensor([1, 6], np.int8, 0.05, -128)
        w = g.tensor([1, 6], np.int8, 0.05, -128)
        g.op("CUSTOM", [1], [z], custom="Other")
        g.op("LSTM", [z], [w])
        g.graph.outputs = [w]

    def twice(g: Graph, x: Any, y: Any) -> None:
        g.op("RELU", [0], [1])

    def two_results(g: Graph, x: Any, y: Any) -> None:
        g.graph.operators[0].outputs = [1, g.tensor([1, 6], np.int8, 0.05, -128)]

    def rescaled(g: Graph, x: Any, y: Any) -> None:
        z = g.tensor([1, 6], np.int8, 0.07, -128)
        g.op("RESHAPE", [1], [z])
        g.graph.outputs = [z]

    edited("custom", "(CUSTOM 'MyOp'): custom operators have no meaning in the file", custom)
    edited("several", "2 nodes cannot be read", several)
    edited("several_first", "operator 1, t2' (CUSTOM 'Other')", several)
    edited("several_second", "operator 2, t3' (LSTM): this operator is not read", several)
    edited("written_twice", "which is already computed", twice)
    edited("two_results", "has no meaning here", two_results)
    edited("moved_rescaled", "which has another scale or zero point", rescaled)


def layers_refused() -> None:

    def layer(name: str, message: str, change: Callable[[Any, Any], None], **window: Any) -> None:
        g = Graph(3)
        x, w = g.input([1, 5, 5, 2], np.int8, 0.05, 3), g.codes([3, 3, 3, 2], [0.01, 0.02, 0.03])
        y = g.tensor([1, 5, 5, 3], np.int8, 0.1, 0)
        g.op("CONV_2D", [x, w, g.bias(3, 0.01)], [y], conv_options("Conv2DOptions", **window))
        change(g, g.graph.tensors[w])
        REFUSED[name] = (g.bytes([y]), message)

    def nothing(g: Any, w: Any) -> None:
        del g, w

    def other_axis(g: Any, w: Any) -> None:
        del g
        w.quantization.quantizedDimension = 1

    def short(g: Any, w: Any) -> None:
        g.model.buffers[w.buffer].data = g.model.buffers[w.buffer].data[:-1]

    def no_options(g: Any, w: Any) -> None:
        del w
        g.graph.operators[0].builtinOptionsType = 0
        g.graph.operators[0].builtinOptions = None

    def float_bias(g: Any, w: Any) -> None:
        del w
        g.graph.tensors[3].type = schema.TensorType.FLOAT32
        g.graph.tensors[3].quantization = None

    layer("stride", "must lie in [1,65536]", nothing, stride=0)
    layer("activation", "fused activation function is not read", nothing, activation=4)
    layer("weight_axis", "have scales along axis 1", other_axis)
    layer("weight_bytes", "has 53 bytes where its shape needs 54", short)
    layer("no_options", "its options are missing", no_options)
    layer("float_bias", "its bias is", float_bias)
    g = Graph(4)
    x, y = g.input([1, 3], np.float32), g.tensor([1, 3], np.float32)
    g.op("ADD", [x, g.tensor([3], np.float32, data=np.array([1, np.nan, 2]))], [y],
         options("AddOptions"))
    REFUSED["nan"] = (g.bytes([y]), "contains NaN")


def sparse_refused() -> None:

    def sparse(name: str, message: str, change: Callable[[Any], None]) -> None:
        g = Graph(5)
        dense = np.array([[0, 1, 0, 2], [3, 0, 0, 0]], np.float32)
        x, w = g.input([1, 4], np.float32), g.sparse(dense, [0, 1, 2], {1: 2},
                                                     ["dense", "Uint8Vector", "dense"])
        y, full = g.tensor([1, 2], np.float32), g.tensor([2, 4], np.float32)
        g.op("DENSIFY", [w], [full])
        g.op("FULLY_CONNECTED", [x, full, -1], [y], options("FullyConnectedOptions"))
        change(g.graph.tensors[w].sparsity)
        REFUSED[f"sparse_{name}"] = (g.bytes([y]), message)

    def setting(axis: int, place: str, values: Any) -> Callable[[Any], None]:

        def change(sparsity: Any) -> None:
            metadata = sparsity.dimMetadata[axis]
            if place == "denseSize":
                metadata.denseSize = values
            else:
                getattr(metadata, place).values = values

        return change

    def order(sparsity: Any) -> None:
        sparsity.traversalOrder = [0, 1, 1]

    def undescribed(sparsity: Any) -> None:
        sparsity.dimMetadata.pop()

    def elsewhere(sparsity: Any) -> None:
        sparsity.blockMap = [2]

    sparse("order", "an axis is listed twice", order)
    sparse("undescribed", "not every axis is described", undescribed)
    sparse("elsewhere", "its blocks cut an axis that it has not", elsewhere)
    sparse("block", "blocks of 3 do not cut its axis 1", setting(2, "denseSize", 3))
    sparse("dense", "a dense axis has 3 places", setting(0, "denseSize", 3))
    sparse("index", "an index lies beyond its axis", setting(1, "arrayIndices", [0, 1, 2]))
    sparse("twice", "the indices of an axis do not ascend", setting(1, "arrayIndices", [1, 1, 0]))
    sparse("segments", "the segments of an axis do not ascend",
           setting(1, "arraySegments", [0, 3, 2]))
    sparse("few_segments", "an axis has too few segments", setting(1, "arraySegments", [0, 1]))
    sparse("bytes", "it has 24 bytes for 4 elements", setting(1, "arraySegments", [0, 1, 2]))


def recurrences_refused() -> None:

    def lstm(name: str, message: str, change: Callable[[Graph, Any], None]) -> None:
        g = Graph(6)
        x, y = g.input([1, 2, 3], np.float32), g.tensor([1, 2, 2], np.float32)
        weights = [g.reals([2, n]) for n in [3] * 4 + [2] * 4]
        biases = [g.reals([2]) for _ in range(4)]
        states = [g.variable([1, 2], np.float32) for _ in range(2)]
        g.op("UNIDIRECTIONAL_SEQUENCE_LSTM",
             [x, *weights, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1], [y],
             options("UnidirectionalSequenceLSTMOptions", fusedActivationFunction=TANH))
        change(g, g.graph.operators[0])
        REFUSED[f"lstm_{name}"] = (g.bytes([y]), message)

    def peephole(g: Graph, op: Any) -> None:
        op.inputs[9] = g.reals([2])

    def activation(g: Graph, op: Any) -> None:
        del g
        op.builtinOptions.fusedActivationFunction = 1

    def hybrid(g: Graph, op: Any) -> None:
        op.inputs[2] = g.codes([2, 3], 0.01)

    def stateless(g: Graph, op: Any) -> None:
        g.graph.tensors[op.inputs[19]].isVariable = False

    def coupled(g: Graph, op: Any) -> None:
        del g
        op.inputs[1] = -1

    lstm("peephole", "it has peepholes, a projection or a normalization", peephole)
    lstm("activation", "its activation function is not tanh", activation)
    lstm("hybrid", "its weights are coded beside reals", hybrid)
    lstm("stateless", "which nothing computes before it", stateless)
    lstm("coupled", "input 1 is absent", coupled)


def refused_models() -> dict[str, tuple[bytes, str]]:
    for group in (damaged_files, damaged_models, unread_operators, layers_refused,
                  sparse_refused, recurrences_refused):
        group()
    return REFUSED
