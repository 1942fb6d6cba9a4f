"""Tandem as a backend of ONNX, so that ONNX's own test-suite runs against it.

    from onnx.backend.test import BackendTest
    import tandem.onnx_backend as backend

    globals().update(BackendTest(backend, __name__).test_cases)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from . import Error, Module, RefusedModel, load

__all__ = ["TandemBackend", "TandemRep", "bind_inputs", "prepare", "run_model", "run_node",
           "supports_device"]


def bind_inputs(model: ModelProto, values: Mapping[str, np.ndarray]) -> ModelProto:
    """The model with some of its inputs replaced by constants of these values.

    Tandem reads networks ahead of time: what shapes depend on (the shape of a Reshape, the ends of
    a Slice) has to be known then.
    """
    bound = ModelProto()
    bound.CopyFrom(model)
    kept = [i for i in bound.graph.input if i.name not in values]
    types = {i.name: i.type.tensor_type.elem_type for i in bound.graph.input}
    del bound.graph.input[:]
    bound.graph.input.extend(kept)
    for name, value in values.items():
        array = np.asarray(value, dtype=helper.tensor_dtype_to_np_dtype(types[name]))
        bound.graph.initializer.append(numpy_helper.from_array(array, name))
    return bound


def _inputs_before(model: ModelProto, value: str) -> set[str]:
    """Names of the model's inputs from which a value is computed."""
    producers = {name: node for node in model.graph.node for name in node.output}
    inputs = {i.name for i in model.graph.input}
    found: set[str] = set()
    pending, seen = [value], set()
    while pending:
        name = pending.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        if name in inputs:
            found.add(name)
        elif name in producers:
            pending.extend(producers[name].input)
    return found


def _parameters_of(model: ModelProto, refused: Error) -> set[str]:
    """Inputs of the model that refused nodes take as parameters: behind their first input."""
    if not isinstance(refused, RefusedModel):
        return set()
    labels = {node["node"] for node in refused.nodes}
    found: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if (node.name or f"#{index}") in labels:
            for name in node.input[1:]:
                found |= _inputs_before(model, name)
    return found


class TandemRep(BackendRep):
    """A model made ready to run.

    `bound` names the inputs that had to be known before the model could be read; it is set by the
    first run() and empty for most models.
    """

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        given = {constant.name for constant in model.graph.initializer}
        self._inputs = [i.name for i in model.graph.input if i.name not in given]
        self._outputs = [o.name for o in model.graph.output]
        self.bound: tuple[str, ...] = ()
        self._network: Module | None = None
        self._refused: Error | None = None
        try:
            self._network = load(model)
        except Error as refused:
            self._refused = refused
            if not self._inputs:
                raise

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in the model's order for its inputs: one array, all in order, or by name."""
        if kwargs:
            raise TypeError(f"run() takes no option {next(iter(kwargs))}")
        arrays = self._by_name(inputs)
        network = self._network or self._read_with(arrays)
        results = network.run({name: value for name, value in arrays.items()
                               if name not in self.bound})
        ordered = (results[name] for name in self._outputs)
        typed = (self._as_declared(name, value) for name, value in zip(self._outputs, ordered))
        return namedtupledict("Outputs", self._outputs)(*typed)

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            return dict(inputs)
        if isinstance(inputs, np.ndarray) and len(self._inputs) == 1:
            return {self._inputs[0]: inputs}
        if len(inputs) != len(self._inputs):
            raise ValueError(f"the model takes {len(self._inputs)} inputs, not {len(inputs)}")
        return dict(zip(self._inputs, inputs))

    def _read_with(self, arrays: Mapping[str, Any]) -> Module:
        """The model with the fewest inputs bound of: the parameters of refused nodes, all."""
        assert self._refused is not None
        why = self._refused
        parameters = _parameters_of(self._model, why)
        for names in (parameters, set(self._inputs)):
            if not names:
                continue
            values = {name: arrays[name] for name in names}
            try:
                network = load(bind_inputs(self._model, values))
            except Error as refused:
                if names is parameters:
                    why = refused
                continue
            self.bound = tuple(sorted(values))
            return network
        raise why

    def _as_declared(self, name: str, value: np.ndarray) -> np.ndarray:
        """Narrow integers and floats in the dtype that ONNX gives them; all others have it."""
        declared = next(o for o in self._model.graph.output if o.name == name)
        elements = declared.type.tensor_type.elem_type
        if elements in _NARROW:
            return value.astype(helper.tensor_dtype_to_np_dtype(elements))
        if elements in _CODES and value.dtype == np.uint8:
            return value.view(helper.tensor_dtype_to_np_dtype(elements))
        return value


_NARROW = {onnx.TensorProto.INT2, onnx.TensorProto.UINT2,
           onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
# Floats that NumPy does not know: Module.run() gives their codes.
_CODES = {onnx.TensorProto.FLOAT8E4M3FN, onnx.TensorProto.FLOAT8E4M3FNUZ,
          onnx.TensorProto.FLOAT8E5M2, onnx.TensorProto.FLOAT8E5M2FNUZ,
          onnx.TensorProto.FLOAT4E2M1}


class TandemBackend(Backend):
    """onnx.backend.base.Backend over tandem.load() and Module.run()."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU" or device.startswith("CPU:")

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> TandemRep:
        if not cls.supports_device(device):
            raise ValueError(f"device {device}: Tandem runs on the CPU")
        return TandemRep(model)

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU",
                  **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(cls, node: NodeProto, inputs: Iterable[Any], device: str = "CPU",
                 outputs_info: Any = None, **kwargs: Any) -> tuple[Any, ...]:
        """One node of the newest operator set, or of that in `opset_imports`."""
        present = [name for name in node.input if name]
        if isinstance(inputs, Mapping):
            inputs = [inputs[name] for name in present]
        arrays = [np.asarray(value) for value in inputs]
        graph = helper.make_graph(
            [node], "node",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype),
                                           array.shape)
             for name, array in zip(present, arrays)],
            [onnx.ValueInfoProto(name=name) for name in node.output if name])
        imports = {} if "opset_imports" not in kwargs else {
            "opset_imports": kwargs["opset_imports"]}
        return cls.run_model(helper.make_model(graph, **imports), arrays, device)


prepare = TandemBackend.prepare
run_model = TandemBackend.run_model
run_node = TandemBackend.run_node
supports_device = TandemBackend.supports_device
