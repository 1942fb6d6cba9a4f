"""Quantizers as nodes of ONNX (QuantizeLinear, DequantizeLinear) and QONNX (Quant)."""

import copy
from collections.abc import Iterator
from typing import Optional

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import tandem

from ._marks import MARKS, POWER_OF_TWO, QUANTIZER

OPSET = 21
QONNX = "qonnx.custom_op.general"
# The element types of QuantizeLinear at that opset.
_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint16": TensorProto.UINT16,
          "int16": TensorProto.INT16, "uint4": TensorProto.UINT4, "int4": TensorProto.INT4,
          "e4m3": TensorProto.FLOAT8E4M3FN, "e5m2": TensorProto.FLOAT8E5M2}
_ROUNDINGS = {"half_even": "ROUND", "ceiling": "CEIL", "floor": "FLOOR", "away_from_zero": "UP",
              "toward_zero": "DOWN", "half_away_from_zero": "HALF_UP",
              "half_toward_zero": "HALF_DOWN"}


class _Quantizer:
    """One quantizer of a file: its node, and the numbers of its scale and zero point."""

    def __init__(self, node: NodeProto, scale: np.ndarray, zero: Optional[np.ndarray]) -> None:
        self.node, self.scale, self.zero = node, scale, zero
        told = {a.name: helper.get_attribute_value(a).decode() for a in node.attribute}
        self.format = tandem.Format(told["format"])
        self.rounding, self.overflow = told["rounding"], told["overflow"]
        self.zero_added = told["zero_added"]

    def is_onnx(self) -> bool:
        usual = "saturate_symmetric" if self.format.is_float else "saturate"
        return (self.format.name in _TYPES and self.rounding == "half_even" and
                self.overflow == usual and
                (self.zero is None or self.zero_added == "after_rounding"))

    def is_qonnx(self) -> bool:
        narrow = self.overflow == "saturate_symmetric" and self.format.minimum < 0
        return (self.format.is_integer and self.format.bits <= 32 and
                self.rounding in _ROUNDINGS and (narrow or self.overflow == "saturate") and
                (self.zero is None or self.zero_added == "before_rounding"))

    def refusal(self) -> str:
        return (f"{self.node.name}: neither ONNX nor QONNX has a quantizer to {self.format.name} "
                f"with rounding {self.rounding}, overflow {self.overflow} and zeros added "
                f"{self.zero_added}. ONNX has {', '.join(_TYPES)}, rounding half_even, "
                f"saturation and zeros added after_rounding; QONNX has integers of up to 32 bits "
                f"that saturate, rounding {', '.join(_ROUNDINGS)} and zeros added before_rounding")


class _Expansion:
    """Writes ONNX's and QONNX's nodes for the marks of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.arrays = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.graph, self.nodes, self.constants = graph, [], []

    def is_constant(self, name: str) -> bool:
        """Whether a value depends neither on the network's input nor on a quantizer."""
        node = self.producers.get(name)
        return name in self.arrays or (
            node is not None and (node.domain == "" or node.op_type == POWER_OF_TWO) and
            all(self.is_constant(source) for source in node.input))

    def known(self, name: str) -> Optional[np.ndarray]:
        """The numbers of a constant value, None of another."""
        if not self.is_constant(name):
            return None
        if name in self.arrays:
            return numpy_helper.to_array(self.arrays[name])
        node = self.producers[name]
        inputs = [self.known(source) for source in node.input]
        if node.op_type == POWER_OF_TWO:
            return np.ldexp(np.float32(1), -np.rint(inputs[0]).astype(int)).astype("f4")
        evaluator = ReferenceEvaluator(node, opsets={"": OPSET})
        return evaluator.run(None, dict(zip(node.input, inputs)))[0]

    def parameter(self, node: NodeProto, index: int, what: str) -> Optional[np.ndarray]:
        if len(node.input) <= index or not node.input[index]:
            return None
        array = self.known(node.input[index])
        if array is None:
            raise tandem.Error(f"{node.name}: its {what} depends on the network's input; a file "
                               "holds only constant ones, so quantize with a learned or given one")
        return array

    def constant(self, name: str, tensor: TensorProto) -> str:
        tensor.name = name
        self.constants.append(tensor)
        return name

    def array(self, name: str, values: np.ndarray) -> str:
        return self.constant(name, numpy_helper.from_array(np.asarray(values)))

    def expand(self, node: NodeProto) -> None:
        quantizer = _Quantizer(node, self.parameter(node, 1, "scale"),
                               self.parameter(node, 2, "zero point"))
        if quantizer.is_onnx():
            self.quantize_linear(quantizer)
        elif quantizer.is_qonnx():
            self.quant(quantizer)
        else:
            raise tandem.Error(quantizer.refusal())

    def quant(self, quantizer: _Quantizer) -> None:
        node, form = quantizer.node, quantizer.format
        zero = np.float32(0) if quantizer.zero is None else quantizer.zero
        name = node.output[0]
        self.nodes.append(helper.make_node(
            "Quant", [node.input[0], self.array(f"{name}.scale", quantizer.scale),
                      self.array(f"{name}.zero", zero),
                      self.array(f"{name}.bits", np.float32(form.bits))],
            [name], name=node.name, domain=QONNX, signed=int(form.minimum < 0),
            narrow=int(quantizer.overflow == "saturate_symmetric" or form.name == "ternary"),
            rounding_mode=_ROUNDINGS[quantizer.rounding]))

    def quantize_linear(self, quantizer: _Quantizer) -> None:
        node, form, scale = quantizer.node, quantizer.format, quantizer.scale
        name, kind = node.output[0], _TYPES[form.name]
        varying = [i for i, size in enumerate(scale.shape) if size != 1]
        if len(varying) > 1:
            raise tandem.Error(f"{node.name}: a scale of shape {list(scale.shape)} varies along "
                               f"{len(varying)} axes; QuantizeLinear has one scale, or one for "
                               "each place along one axis")
        zero = np.broadcast_to(np.float32(0) if quantizer.zero is None else quantizer.zero,
                               scale.shape)
        shape = [-1] if varying else []
        along = {"axis": varying[0] - scale.ndim} if varying else {}
        parameters = [
            self.array(f"{name}.scale", scale.reshape(shape)),
            self.constant(f"{name}.zero", helper.make_tensor(
                "zero", kind, scale.reshape(shape).shape, zero.reshape(-1).tolist()))]
        weights = self.known(node.input[0])
        if weights is None:
            codes = f"{name}.codes"
            self.nodes.append(helper.make_node("QuantizeLinear", [node.input[0], *parameters],
                                               [codes], name=codes, **along))
        else:  # a constant is its codes
            values = form.decode(tandem.quantize(
                weights, scale, quantizer.zero, format=form.name, overflow=quantizer.overflow,
                zero_added=quantizer.zero_added))
            codes = self.constant(f"{name}.codes", helper.make_tensor(
                "codes", kind, weights.shape, values.reshape(-1).tolist()))
        self.nodes.append(helper.make_node("DequantizeLinear", [codes, *parameters], [name],
                                           name=node.name, **along))


def _used(nodes: list[NodeProto], outputs: set[str]) -> Iterator[NodeProto]:
    """Those nodes that the outputs need, last one first."""
    needed = set(outputs)
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            yield node


def with_quantizers(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with ONNX's or QONNX's nodes in place of the marks of tandem.torch."""
    model = copy.deepcopy(model)
    graph = model.graph
    expansion = _Expansion(graph)
    for node in graph.node:
        if node.domain == MARKS and node.op_type == QUANTIZER:
            expansion.expand(node)
        else:
            expansion.nodes.append(node)
    outputs = {value.name for value in graph.output}
    nodes = list(_used(expansion.nodes, outputs))[::-1]
    read = outputs.union(*(node.input for node in nodes))
    constants = [tensor for tensor in (*graph.initializer, *expansion.constants)
                 if tensor.name in read]
    for field, kept in (("node", nodes), ("initializer", constants), ("value_info", [])):
        graph.ClearField(field)
        getattr(graph, field).extend(kept)
    domains = {node.domain for node in nodes} | {""}
    versions = {"": OPSET, QONNX: 1}
    model.ClearField("opset_import")
    model.opset_import.extend(helper.make_opsetid(domain, versions[domain])
                              for domain in sorted(domains))
    return model
