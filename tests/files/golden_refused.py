"""Models that the reader must refuse, each with a part of the message that it must give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
from golden_graphs import Graph, model_of
from onnx import TensorProto, helper, numpy_helper

RESULT: dict[str, np.ndarray] = {}


def refused(name: str, message: str, data: bytes) -> None:
    RESULT[f"{name}/model"] = np.frombuffer(data, np.uint8)
    RESULT[f"{name}/error"] = np.frombuffer(message.encode(), np.uint8)


def base(opset: int = 17, shape: list[Any] | None = None, op: str = "Relu",
         **attributes: Any) -> onnx.ModelProto:
    """x -> op -> v0."""
    graph = Graph()
    graph.outputs = [graph.add(op, ["x"], name="only", **attributes)]
    return model_of(graph, {"x": np.zeros((2, 3), np.float32)}, opset,
                    {"x": shape} if shape else None)


def edited(name: str, message: str, edit: Callable[[Any], None], **options: Any) -> None:
    model = base(**options)
    edit(model)
    refused(name, message, model.SerializeToString(deterministic=True))


def initializer(model: Any, name: str, array: np.ndarray) -> Any:
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model.graph.initializer[-1]


def files() -> None:
    data = base().SerializeToString(deterministic=True)
    refused("empty", "holds no ONNX graph", b"")
    refused("truncated", "or truncated: the message breaks off at byte", data[:-3])
    refused("half", "truncated", data[: len(data) // 2])
    refused("text", "not an ONNX model", b"tandem-module 1\n" * 20)
    refused("garbage", "not an ONNX model", bytes(range(1, 256)))
    edited("old_ir", "IR version 2", lambda m: setattr(m, "ir_version", 2))
    edited("old_opset", "operator set 6", lambda m: setattr(m.opset_import[0], "version", 6))
    edited("new_opset", "operator set 99 is newer",
           lambda m: setattr(m.opset_import[0], "version", 99))
    edited("two_opsets", "in the versions 17 and 13",
           lambda m: m.opset_import.append(helper.make_opsetid("", 13)))
    edited("no_opset", "imports no operator set", lambda m: m.ClearField("opset_import"))


def structure() -> None:
    def cycle(m: Any) -> None:
        m.graph.node.append(helper.make_node("Add", ["x", "c"], ["a"], name="first"))
        m.graph.node.append(helper.make_node("Neg", ["a"], ["b"], name="second"))
        m.graph.node.append(helper.make_node("Abs", ["b"], ["c"], name="third"))

    edited("cycle", "cyclic: 'first' -> 'second' -> 'third' -> 'first'", cycle)

    def self_loop(m: Any) -> None:
        m.graph.node.append(helper.make_node("Add", ["x", "a"], ["a"]))

    edited("self_loop", "cyclic: '#1' -> '#1'", self_loop)
    edited("missing_value", "node 'only' reads 'y', which no node, input or initializer defines",
           lambda m: m.graph.node[0].input.__setitem__(0, "y"))
    edited("missing_output", "the list of outputs reads 'w'",
           lambda m: setattr(m.graph.output[0], "name", "w"))
    edited("two_producers", "value 'v0' is computed by node 'twin' and defined by node 'only'",
           lambda m: m.graph.node.append(helper.make_node("Abs", ["x"], ["v0"], name="twin")))
    edited("output_is_input", "defined by an input or initializer",
           lambda m: m.graph.node.append(helper.make_node("Abs", ["v0"], ["x"])))
    edited("two_inputs", "two inputs of the graph are named 'x'",
           lambda m: m.graph.input.append(m.graph.input[0]))

    def two_initializers(m: Any) -> None:
        initializer(m, "w", np.zeros(2, np.float32))
        initializer(m, "w", np.zeros(2, np.float32))

    edited("two_initializers", "two initializers are named 'w'", two_initializers)
    edited("output_twice", "output 'v0' is listed twice",
           lambda m: m.graph.output.append(m.graph.output[0]))
    edited("no_outputs", "the graph has no outputs", lambda m: m.graph.ClearField("output"))
    edited("no_inputs_no_names", "an input of the graph has no name",
           lambda m: m.graph.input.append(onnx.ValueInfoProto()))
    edited("wrong_rank", "output 'v0' is declared with another shape",
           lambda m: m.graph.output[0].CopyFrom(
               helper.make_tensor_value_info("v0", TensorProto.FLOAT, [2])))
    edited("wrong_extent", "output 'v0' is declared with another shape",
           lambda m: m.graph.output[0].CopyFrom(
               helper.make_tensor_value_info("v0", TensorProto.FLOAT, [2, 4])))
    edited("wrong_type", "output 'v0' is declared INT64 but computed as f32[2,3]",
           lambda m: m.graph.output[0].CopyFrom(
               helper.make_tensor_value_info("v0", TensorProto.INT64, [2, 3])))


def inputs() -> None:
    edited("absurd", "2^40", lambda m: None, shape=[1 << 30, 1 << 30])
    edited("overflow", "2^40", lambda m: None, shape=[1 << 62, 4, 1 << 62])
    edited("no_rank", "'x' has no shape",
           lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"))
    edited("sequence", "'x' is no tensor",
           lambda m: m.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info(
               "x", TensorProto.FLOAT, [2])))
    edited("strings", "elements of type STRING",
           lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING))
    edited("integers", "node 'only' (Sigmoid): ",
           lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64),
           op="Sigmoid")


def initializers() -> None:
    def tensor(name: str, message: str, edit: Callable[[Any], None]) -> None:
        model = base(op="Relu")
        model.graph.node[0].op_type = "Add"
        model.graph.node[0].input.append("weight")
        edit(initializer(model, "weight", np.arange(3, dtype=np.float32)))
        refused(name, message, model.SerializeToString(deterministic=True))

    def not_a_number(t: Any) -> None:
        t.raw_data = np.array([0, np.nan, 1], np.float32).tobytes()

    tensor("nan_weight", "initializer 'weight': element 1 of 3 is NaN", not_a_number)
    tensor("short_data", "initializer 'weight': 8 bytes of data where f32[3] has 12",
           lambda t: setattr(t, "raw_data", t.raw_data[:8]))
    tensor("no_data", "initializer 'weight': 0 elements", lambda t: t.ClearField("raw_data"))

    def absurd(t: Any) -> None:
        t.dims[:] = [1 << 40, 1 << 40]

    tensor("absurd_weight", "2^40", absurd)
    tensor("negative_weight", "negative dimension", lambda t: t.dims.__setitem__(0, -3))
    tensor("untyped_weight", "elements of type UNDEFINED", lambda t: setattr(t, "data_type", 0))
    tensor("unknown_weight", "elements of type 1234", lambda t: setattr(t, "data_type", 1234))
    tensor("complex_weight", "elements of type COMPLEX64",
           lambda t: setattr(t, "data_type", TensorProto.COMPLEX64))

    def typed(t: Any) -> None:
        t.ClearField("raw_data")
        t.data_type = TensorProto.INT8
        t.int32_data[:] = [1, 2, 300]

    tensor("element_out_of_range", "element 300 is no int8", typed)

    def packed(t: Any) -> None:
        t.data_type = TensorProto.INT4
        t.raw_data = b"\x11"

    tensor("short_int4", "1 bytes of data where int4[3] has 2", packed)

    def external(location: str, **entries: str) -> Callable[[Any], None]:
        def edit(t: Any) -> None:
            t.ClearField("raw_data")
            t.data_location = TensorProto.EXTERNAL
            for key, value in {"location": location, **entries}.items():
                t.external_data.add(key=key, value=value)
        return edit

    tensor("external", "a model in memory cannot refer to", external("weights.bin"))
    tensor("external_above", "a model in memory cannot refer to", external("../weights.bin"))
    tensor("external_absolute", "a model in memory cannot refer to", external("/etc/hostname"))
    tensor("external_part", "a model in memory cannot refer to",
           external("weights.bin", offset="4", length="12", checksum="0"))
    tensor("external_length", "length 5 where the shape needs 12",
           external("weights.bin", length="5"))
    tensor("external_offset", "offset is negative", external("weights.bin", offset="-1"))
    tensor("external_key", "unknown key 'ofset'", external("weights.bin", ofset="1"))


def nodes() -> None:
    def three(m: Any) -> None:
        m.graph.node.extend([
            helper.make_node("ImageDecoder", ["x"], ["a"], name="memory"),
            helper.make_node("Relu", ["a"], ["b"], name="after"),
            helper.make_node("Frobnicate", ["b"], ["c"], name="odd", domain="my.domain"),
            helper.make_node("Softmax", ["x"], ["d"], name="steep", axis=7)])

    for part in ("3 nodes cannot be read",
                 "node 'memory' (ImageDecoder): there is no operator ImageDecoder here",
                 "node 'odd' (Frobnicate): the operator domain 'my.domain' is unknown",
                 "node 'steep' (Softmax): "):
        edited(f"three_{part.split()[1].strip(chr(39))}", part, three)
    edited("near_name", "the nearest is Relu",
           lambda m: setattr(m.graph.node[0], "op_type", "Rleu"))
    edited("if_without_graphs", "attribute 'then_branch' is missing or no graph",
           lambda m: setattr(m.graph.node[0], "op_type", "If"))
    edited("attribute", "attribute 'slope' has no meaning here", lambda m: None, slope=1.0)
    edited("attribute_kind", "attribute 'alpha' is INT where FLOAT belongs", lambda m: None,
           op="LeakyRelu", alpha=1)
    edited("attribute_nan", "attribute 'alpha' is NaN", lambda m: None, op="LeakyRelu",
           alpha=float("nan"))

    def root_of_negative(m: Any) -> None:
        initializer(m, "weight", np.array([4, -1], np.float32))
        m.graph.node[0].input[0] = "weight"

    edited("nan_of_constants", "it makes NaN of its constant inputs", root_of_negative, op="Sqrt")
    edited("attribute_missing", "attribute 'axis' is missing", lambda m: None, op="Concat")
    edited("training", "training mode",
           lambda m: m.graph.node[0].attribute.append(helper.make_attribute("training_mode", 1)),
           op="BatchNormalization")
    edited("clip_attributes", "attribute 'min' has no meaning here", lambda m: None, op="Clip",
           min=0.0)
    edited("extra_input", "input 1 has no meaning here",
           lambda m: m.graph.node[0].input.append("x"), op="Flatten")
    edited("absent_input", "only", lambda m: m.graph.node[0].input.__setitem__(0, ""))

    def masked(m: Any) -> None:
        m.graph.node[0].output.append("mask")
        m.graph.output.append(helper.make_tensor_value_info("mask", TensorProto.BOOL, [2, 3]))

    edited("training_output", "its output 'mask' is not supported", masked)
    edited("random", "it makes random numbers", lambda m: None, op="RandomNormalLike")
    edited("border", "use zeros or reflection", lambda m: m.graph.node[0].input.append("x"),
           op="GridSample", shape=[2, 2, 2, 2], mode="cubic", padding_mode="border")

    def reshape(*shape: int) -> Callable[[Any], None]:
        def edit(m: Any) -> None:
            m.graph.node[0].input.append("shape")
            initializer(m, "shape", np.array(shape, np.int64))
        return edit

    edited("reshape_count", "[2,3] has 6 elements", reshape(4, 2), op="Reshape")
    edited("reshape_twice", "-1 twice", reshape(-1, -1), op="Reshape")
    edited("reshape_divide", "do not divide by 4", reshape(4, -1), op="Reshape")
    edited("reshape_copy", "copies a dimension", reshape(2, 3, 0), op="Reshape")

    def filled(m: Any) -> None:
        initializer(m, "shape", np.array([1 << 20, 1 << 15], np.int64))
        m.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["c"], name="fill"))
        m.graph.node[1].op_type = "Add"
        m.graph.node[1].input.append("c")

    edited("filled", "it makes 34359738368 equal elements", filled)

    # Scalars that are given as tensors of another size.
    def sized(op: str, name: str, *inputs: np.ndarray) -> Callable[[Any], None]:
        def edit(m: Any) -> None:
            m.graph.node[0].op_type = op
            for i, value in enumerate(inputs):
                initializer(m, f"{name}{i}", value)
                m.graph.node[0].input.append(f"{name}{i}")
        return edit

    edited("dropout_no_mode", "training_mode is no scalar",
           sized("Dropout", "d", np.float32(0.5), np.zeros(0, np.bool_)))
    edited("pad_two_values", "its padding value is no scalar",
           sized("Pad", "p", np.zeros(4, np.int64), np.zeros(2, np.float32)))

    def quant(bits: Any, mode: str = "ROUND", scale: float = 1.0) -> Callable[[Any], None]:
        def edit(m: Any) -> None:
            node = m.graph.node[0]
            node.op_type, node.domain = "Quant", "onnx.brevitas"
            node.input.extend(["s", "z", "b"])
            for name, value in {"s": scale, "z": 0.0, "b": bits}.items():
                initializer(m, name, np.array(value, np.float32))
            node.attribute.extend([helper.make_attribute("signed", 1),
                                   helper.make_attribute("narrow", 0),
                                   helper.make_attribute("rounding_mode", mode)])
        return edit

    edited("quant_bits", "its bit width is 2.5, not a whole number", quant(2.5))
    edited("quant_no_bits", "its bit width is 0, not", quant(0))
    edited("quant_many_bits", "its bit width is no scalar", quant([4, 4]))
    edited("quant_mode", "rounding_mode is 'STOCHASTIC'", quant(4, "STOCHASTIC"))
    edited("quant_scale", "scale contains 0", quant(4, scale=0.0))
    edited("quant_float", "its exponent width is absent",
           lambda m: (setattr(m.graph.node[0], "op_type", "FloatQuant"),
                      setattr(m.graph.node[0], "domain", "qonnx.custom_op.general")))
    edited("quant_unknown", "of QONNX these are read",
           lambda m: (setattr(m.graph.node[0], "op_type", "MultiThreshold"),
                      setattr(m.graph.node[0], "domain", "qonnx.custom_op.general")))


def functions() -> None:
    """Calls of a function of two Relus that cannot be put in its place."""
    def calling(change: Callable[[Any, Any], None]) -> Callable[[Any], None]:
        def edit(m: Any) -> None:
            function = helper.make_function(
                "own", "Twice", ["a"], ["b"],
                [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Relu", ["t"], ["b"])],
                [helper.make_opsetid("", 17)])
            m.functions.append(function)
            m.graph.node[0].op_type, m.graph.node[0].domain = "Twice", "own"
            change(m.functions[0], m)
        return edit

    edited("function_recursive", "'own::Twice' calls itself",
           calling(lambda f, m: f.node[0].CopyFrom(
               helper.make_node("Twice", ["a"], ["t"], domain="own"))))
    edited("function_doubled", "'own::Twice' stands there twice",
           calling(lambda f, m: m.functions.append(f)))
    edited("function_opset", "imports version 18 of the operator set ''",
           calling(lambda f, m: setattr(f.opset_import[0], "version", 18)))
    edited("function_inputs", "with 2 inputs and 1 outputs; it has 1 and 1",
           calling(lambda f, m: m.graph.node[0].input.append("x")))
    edited("function_attribute", "has no attribute 'slope'",
           calling(lambda f, m: m.graph.node[0].attribute.append(
               helper.make_attribute("slope", 1.0))))
    edited("function_undefined", "reads 'q', which nothing in it defines",
           calling(lambda f, m: f.node[0].input.__setitem__(0, "q")))


def parsed(name: str, message: str, text: str) -> None:
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>\n' + text.strip())
    refused(name, message, model.SerializeToString(deterministic=True))


def control_flow() -> None:
    step = "<body = b (int64 i, bool m, float[2] p) => (bool o, float[2] q)"
    parsed("if_captures_itself", "the graph is cyclic: '#0' -> '#0'", """
g (bool c, float[2] x) => (float[2] y) {
  y = If (c) <then_branch = one () => (float[2] t) { t = Neg (y) },
              else_branch = two () => (float[2] e) { e = Neg (x) }>
}""")
    parsed("body_cycle", "the graph is cyclic", """
g (bool c, float[2] x) => (float[2] y) {
  y = If (c) <then_branch = one () => (float[2] t) { t = Neg (s)  s = Abs (t) },
              else_branch = two () => (float[2] e) { e = Neg (x) }>
}""")
    parsed("branches_differ", "of its body '#0/else' is f32[2], not f32[4]", """
g (bool c, float[2] x) => (float[] y) {
  y = If (c) <then_branch = one () => (float[4] t) { t = Concat <axis = 0> (x, x) },
              else_branch = two () => (float[2] e) { e = Neg (x) }>
}""")
    parsed("loop_grows_unbounded", "of its body '#0/body' is f32[4], not f32[2]", f"""
g (int64 n, float[2] x) => (float[] y) {{
  y = Loop (n, "", x) {step} {{ o = Identity (m)  q = Concat <axis = 0> (p, p) }}>
}}""")
    parsed("loop_stacks_unknown", "data decide how often it runs", """
g (int64 n, float[2] x) => (float[2] y, float[] z) {
  y, z = Loop (n, "", x) <body = b (int64 i, bool m, float[2] p)
                          => (bool o, float[2] q, float[2] r) {
    o = Identity (m)  q = Neg (p)  r = Abs (p) }>
}""")
    parsed("loop_body_inputs", "its graph 'b' takes 3 inputs, not 2", f"""
g (int64 n, float[2] x) => (float[2] y) {{
  y = Loop (n, "") {step} {{ o = Identity (m)  q = Neg (p) }}>
}}""")
    parsed("body_undefined", "reads 'w', which no node, input or initializer defines", f"""
g (int64 n, float[2] x) => (float[2] y) {{
  y = Loop (n, "", x) {step} {{ o = Identity (m)  q = Add (p, w) }}>
}}""")
    parsed("body_refused", "node '#0/then/#0' (Upsamble): there is no operator Upsamble", """
g (bool c, float[2] x) => (float[2] y) {
  y = If (c) <then_branch = one () => (float[2] t) { t = Upsamble (x) },
              else_branch = two () => (float[2] e) { e = Neg (x) }>
}""")
    # Two hundred million nodes out of a few: loops of 600 steps in each other.
    inner = "q = Neg (p)"
    for depth in range(3):
        inner = f"""n{depth} = Constant <value = int64 {{600}}> ()
          q = Loop (n{depth}, "", p) <body = b{depth} (int64 i, bool m, float[2] p)
              => (bool o, float[2] q) {{ o = Identity (m)  {inner} }}>"""
    parsed("loops_explode", "make too many nodes",
           f"g (float[2] p) => (float[2] q) {{ {inner} }}")
    parsed("scan_extents", "scanned input 2 is f32[3,2], not [4,...]", """
g (float[2] s, float[4, 2] x, float[3, 2] v) => (float[2] y) {
  y = Scan <num_scan_inputs = 2, body = b (float[2] p, float[2] r, float[2] t) => (float[2] q) {
    q = Add (p, r) }> (s, x, v)
}""")
    parsed("scan_counts", "it scans 3 of 2 inputs", """
g (float[2] s, float[4, 2] x) => (float[2] y) {
  y = Scan <num_scan_inputs = 3, body = b (float[2] p, float[2] r) => (float[2] q) {
    q = Add (p, r) }> (s, x)
}""")


def layers() -> None:
    """Layers whose shapes do not go together, named by the node."""
    def pooled(**attributes: Any) -> Callable[[Any], None]:
        return lambda m: m.graph.node[0].attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items())

    image = {"shape": [1, 2, 5, 5]}
    edited("auto_pad", "auto_pad is 'SAME'", pooled(auto_pad="SAME", kernel_shape=[2, 2]),
           op="MaxPool", **image)
    edited("pool_kernel", "its kernel has 1 axes, its input 2", pooled(kernel_shape=[2]),
           op="LpPool", **image)
    edited("unpool_kernel", "attribute 'kernel_shape' is missing", lambda m: None, op="MaxUnpool",
           **image)
    edited("groups", "num_groups 3 does not fit f32[1,2,5,5]", pooled(num_groups=3),
           op="GroupNormalization", opset=21, **image)
    edited("norm_p", "its p is 3", pooled(p=3), op="LpNormalization", **image)
    edited("stash", "its stash_type is not FLOAT", pooled(stash_type=10), op="LayerNormalization",
           **image)


def arrays() -> dict[str, np.ndarray]:
    functions()
    layers()
    control_flow()
    files()
    structure()
    inputs()
    initializers()
    nodes()
    return RESULT
