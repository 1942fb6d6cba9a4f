"""Runs TensorFlow Lite models call by call, with what they keep between the calls."""

from collections.abc import Iterable

import numpy as np
from ai_edge_litert import interpreter as litert
from tflite_micro.python.tflite_micro import runtime as micro
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

Arrays = list[np.ndarray]  # calls along the first axis


def joined(calls: Iterable[Arrays]) -> Arrays:
    return [np.concatenate(parts) for parts in zip(*calls)]


def run_micro(data: bytes, inputs: Arrays) -> Arrays:
    """One stream of tflite-micro: a tensor for each output."""
    interpreter = micro.Interpreter.from_bytes(data, arena_size=1 << 20)
    outputs = schema.Model.GetRootAs(data, 0).Subgraphs(0).OutputsLength()

    def call(at: int) -> Arrays:
        for position, array in enumerate(inputs):
            interpreter.set_input(array[at:at + 1], position)
        interpreter.invoke()
        return [np.array(interpreter.get_output(i)) for i in range(outputs)]

    return joined(call(at) for at in range(inputs[0].shape[0]))


def run_litert(data: bytes, inputs: Arrays) -> Arrays:
    """The same of ai-edge-litert's reference kernels."""
    interpreter = litert.Interpreter(
        model_content=data, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()

    def call(at: int) -> Arrays:
        for details, array in zip(interpreter.get_input_details(), inputs):
            interpreter.set_tensor(details["index"], array[at:at + 1])
        interpreter.invoke()
        return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]

    return joined(call(at) for at in range(inputs[0].shape[0]))
