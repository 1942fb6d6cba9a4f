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
from onnx import ModelProto, NodeProto, helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from . import OnnxProgram

__all__ = ["TandemBackend", "TandemRep", "prepare", "run_model", "run_node", "supports_device"]


class TandemRep(BackendRep):
    """A model made ready to run."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._program = OnnxProgram(model)
        self._inputs = self._program.inputs
        self._outputs = [o.name for o in model.graph.output]

    @property
    def bound(self) -> tuple[str, ...]:
        """The inputs that had to be known before the model could be read; empty for most models,
        and for all before the first run()."""
        return tuple(self._program.bound)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs in the model's order for its inputs: one array, all in order, or by name."""
        if kwargs:
            raise TypeError(f"run() takes no option {next(iter(kwargs))}")
        results = self._program.run(self._by_name(inputs))
        ordered = (self._as_declared(name, results[name]) for name in self._outputs)
        return namedtupledict("Outputs", self._outputs)(*ordered)

    def _by_name(self, inputs: Any) -> dict[str, Any]:
        if isinstance(inputs, Mapping):
            return dict(inputs)
        if isinstance(inputs, np.ndarray) and len(self._inputs) == 1:
            return {self._inputs[0]: inputs}
        if len(inputs) != len(self._inputs):
            raise ValueError(f"the model takes {len(self._inputs)} inputs, not {len(inputs)}")
        return dict(zip(self._inputs, inputs))

    def _as_declared(self, name: str, value: np.ndarray) -> np.ndarray:
        """Narrow integers in the dtype that ONNX gives them; all others have it."""
        declared = next(o for o in self._model.graph.output if o.name == name)
        elements = declared.type.tensor_type.elem_type
        if elements in _NARROW:
            return value.astype(helper.tensor_dtype_to_np_dtype(elements))
        return value


_NARROW = {onnx.TensorProto.INT2, onnx.TensorProto.UINT2,
           onnx.TensorProto.INT4, onnx.TensorProto.UINT4}

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
