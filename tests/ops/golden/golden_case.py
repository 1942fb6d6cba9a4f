"""One case of onnx_cases.txt: an ONNX node's results, and the same node as module text."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 21
FORMATS = {"float32": "f32", "float64": "f64", "int64": "int64", "int8": "int8", "uint8": "uint8",
           "bool": "bool", "int16": "int16", "int32": "int32", "uint16": "uint16",
           "uint32": "uint32"}
random = np.random.default_rng(2024)
cases = []


def real(*shape, low=-2.0, high=2.0, dtype=np.float32):
    return np.asarray(np.round(random.uniform(low, high, shape), 3), dtype=dtype)


def integer(*shape, low=-128, high=127, dtype=np.int8):
    return np.asarray(random.integers(low, high, shape, endpoint=True), dtype=dtype)


def number(value):
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return repr(float(str(value))) if np.isfinite(value) else str(float(value))


def attribute(value):
    if isinstance(value, str):
        return value if value in FORMATS.values() else f'"{value}"'
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(attribute(v) for v in value) + "]"
    return number(value)


def type_text(array):
    return FORMATS[str(array.dtype)] + "[" + ",".join(map(str, array.shape)) + "]"


def evaluate(op, arrays, extra, attributes, outputs, opset=OPSET, judge="both", between=()):
    """The outputs of one ONNX node by the reference, checked against onnxruntime.

    `judge` names one of them where the other does not know all that the operator means.
    """
    names = [name if array is not None else ""
             for name, array in (*arrays[:1], *between, *arrays[1:], *extra)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], **attributes)
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype),
                                            array.shape) for name, array in arrays
              if array is not None]
    constants = [numpy_helper.from_array(array, name) for name, array in (*between, *extra)
                 if array is not None]
    graph = helper.make_graph(
        [node], "case", inputs,
        [helper.make_tensor_value_info(f"y{i}", TensorProto.UNDEFINED, None)
         for i in range(outputs)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    feed = {name: array for name, array in arrays if array is not None}
    expected = None if judge == "onnxruntime" else ReferenceEvaluator(model).run(None, feed)
    if judge == "reference":
        return [np.asarray(array) for array in expected]
    model = onnx.shape_inference.infer_shapes(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; the warnings are about onnx's shape inference
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                               providers=["CPUExecutionProvider"])
    except (onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented,
            onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
            onnxruntime.capi.onnxruntime_pybind11_state.Fail):
        session = None  # onnxruntime lacks this operator, for this type or at all
    if expected is None:
        return [np.asarray(array) for array in session.run(None, feed)]
    if session is not None:
        for mine, other in zip(expected, session.run(None, feed)):
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5, err_msg=op)
    return [np.asarray(array) for array in expected]


def case(op, inputs, onnx_attributes=None, tandem_attributes=None, extra=(), outputs=1,
         tandem=None, kept=None, opset=OPSET, judge="both", results=None, between=()):
    """One case: `inputs` are read by both nodes, `extra` are (name, array) inputs of ONNX's alone.

    `between` are more of those, which stand behind ONNX's first input. `tandem_attributes` are
    those of Tandem's node where they differ from ONNX's, `kept` the outputs that it has of ONNX's,
    `results` what is expected where ONNX's node was evaluated before.
    """
    onnx_attributes = onnx_attributes or {}
    if tandem_attributes is None:
        tandem_attributes = onnx_attributes
    arrays = [(f"x{i}", array) for i, array in enumerate(inputs)]
    if results is None:
        results = evaluate(op, arrays, list(extra), onnx_attributes, outputs, opset, judge,
                           list(between))
    if kept is not None:
        results = [results[i] for i in kept]
    lines = [f"# case {tandem or op}", "tandem-module 1"]
    named = [(name, array) for name, array in arrays if array is not None]
    for name, array in named + [(f"y{i}", array) for i, array in enumerate(results)]:
        elements = ",".join(number(v) for v in array.flatten())
        lines.append(f"constant @{name} : {type_text(array)} = [{elements}]")
    operands = ", ".join("_" if array is None else f"%{name}" for name, array in arrays)
    text = ", ".join(f"{key} = {attribute(value)}" for key, value in tandem_attributes.items())
    made = ", ".join(f"%y{i} : {type_text(array)}" for i, array in enumerate(results))
    signature = ", ".join(f"%{name} : {type_text(array)}" for name, array in named)
    lines.append(f"graph @main({signature}) -> "
                 f"({', '.join(f'%y{i}' for i in range(len(results)))}) {{")
    lines.append(f"  {made} = {tandem or op}({operands})" + (f" {{{text}}}" if text else ""))
    lines.append("}")
    cases.append("\n".join(lines))


def indices(*values):
    return np.array(values, dtype=np.int64)
