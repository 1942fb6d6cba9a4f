"""What the scripts of golden graphs share: building small models and storing cases."""

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclasses.dataclass
class Graph:
    """A graph under construction: nodes in order, inputs and initializers by name."""

    inputs: dict[str, Any] = dataclasses.field(default_factory=dict)  # name: array or ValueInfo
    nodes: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
    initializers: list[onnx.TensorProto] = dataclasses.field(default_factory=list)
    outputs: list[str] = dataclasses.field(default_factory=list)
    output_type: int = TensorProto.FLOAT

    def add(self, op: str, inputs: list[str], outputs: int = 1, domain: str = "", name: str = "",
            **attributes: Any) -> str:
        """Appends a node; the name of its first output."""
        names = [f"v{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        node = helper.make_node(op, inputs, names, name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return names[0]

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """An initializer; `value` may be a TensorProto for types that NumPy has not."""
        name = f"c{len(self.initializers)}"
        if isinstance(value, onnx.TensorProto):
            tensor = value
            tensor.name = name
        else:
            tensor = numpy_helper.from_array(np.asarray(value, dtype), name)
        self.initializers.append(tensor)
        return name


def value_info(name: str, array: np.ndarray, shape: list[Any] | None = None) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, element, shape or list(array.shape))


def model_of(graph: Graph, inputs: dict[str, np.ndarray], opset: int,
             shapes: dict[str, list[Any]] | None = None,
             domains: dict[str, int] | None = None, ir_version: int = 8,
             initializers_as_inputs: bool = False) -> onnx.ModelProto:
    shapes = shapes or {}
    infos = [value_info(name, array, shapes.get(name)) for name, array in inputs.items()]
    if initializers_as_inputs:
        infos += [helper.make_tensor_value_info(t.name, t.data_type, t.dims)
                  for t in graph.initializers]
    outputs = [helper.make_tensor_value_info(name, graph.output_type, None)
               for name in graph.outputs]
    proto = helper.make_graph(graph.nodes, "golden", infos, outputs, graph.initializers)
    sets = [helper.make_opsetid("", opset)]
    sets += [helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()]
    model = helper.make_model(proto, opset_imports=sets, ir_version=ir_version)
    model.producer_name = "golden"
    return model


def stored(case: str, model: onnx.ModelProto | bytes, inputs: dict[str, np.ndarray],
           outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    data = model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
    arrays = {f"{case}/model": np.frombuffer(data, np.uint8)}
    arrays |= {f"{case}/in/{name}": array for name, array in inputs.items()}
    arrays |= {f"{case}/out/{name}": array for name, array in outputs.items()}
    return arrays
