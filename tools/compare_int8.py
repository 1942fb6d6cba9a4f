#!/usr/bin/env python3
"""Quantized networks on this processor: are our codes the right ones, and where are ONNX Runtime's?

    tools/compare_int8.py --program build/release/bench/tandem_host_quantized \\
        build/networks/*8.onnx

First every integer step of ours is put beside its definition in unlimited integers, with every
instruction set of this processor and 1 to 4 threads. Then codes of the network's outputs, and of
every QuantizeLinear, are counted that differ from the file's meaning: onnx's own reference
evaluator, with reals of 64 bits between DequantizeLinear and QuantizeLinear. ONNX Runtime's exact
(session.x64quantprecision) and default mode are counted alike. The first layer that differs is
named; with --layers each layer is also computed from the codes that the execution itself has before
it, so that a layer's own rounding is seen apart from what came before. Exit code 1 where an integer
of ours is wrong.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

PEERS = {"ORT exact": "1", "ORT default": ""}


class Conv(OpRun):
    """The convolution of the standard as one product a group: onnx's own takes minutes."""

    op_domain = ""

    def _run(self, x, w, bias=None, auto_pad=None, dilations=None, group=1, kernel_shape=None,
             pads=None, strides=None):  # pylint: disable=arguments-differ,unused-argument
        rank = x.ndim - 2
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        pads = pads or [0] * 2 * rank
        if auto_pad not in (None, "NOTSET", "VALID"):
            raise ValueError(f"auto_pad {auto_pad} is not known here")
        x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:])])
        reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations)]
        axes = tuple(range(2, 2 + rank))
        windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=axes)
        windows = windows[(slice(None),) * 2 + tuple(slice(None, None, s) for s in strides)
                          + tuple(slice(None, None, d) for d in dilations)]
        extents = windows.shape[2:2 + rank]
        windows = np.moveaxis(windows, 1, 1 + rank)  # [n, pixels..., c, taps...]
        rows = windows.reshape(x.shape[0], int(np.prod(extents)), group, -1)
        filters = w.reshape(group, w.shape[0] // group, -1)
        y = np.matmul(rows.transpose(0, 2, 1, 3), filters.transpose(0, 2, 1)[None])
        y = y.transpose(0, 1, 3, 2).reshape(x.shape[0], w.shape[0], *extents)
        if bias is not None:
            y = y + bias.reshape(1, -1, *[1] * rank)
        return (y,)


def along(parameter, rank, axis):
    return parameter.reshape([-1 if d == axis % rank else 1 for d in range(rank)]
                             if parameter.size > 1 else ())


class QuantizeLinear(OpRun):
    op_domain = ""

    def _run(self, x, scale, zero=None, axis=1, **_):  # pylint: disable=arguments-differ
        zero = np.zeros(1, "u1") if zero is None else zero
        limits = np.iinfo(zero.dtype)
        codes = np.rint(x / along(scale, x.ndim, axis)) + along(zero, x.ndim, axis).astype("f8")
        return (np.clip(codes, limits.min, limits.max).astype(zero.dtype),)


class DequantizeLinear(OpRun):
    op_domain = ""

    def _run(self, x, scale, zero=None, axis=1, **_):  # pylint: disable=arguments-differ
        codes = x.astype("f8")
        if zero is not None:
            codes = codes - along(zero, x.ndim, axis).astype("f8")
        return (codes * along(scale, x.ndim, axis),)


OPERATORS = [Conv, QuantizeLinear, DequantizeLinear]


def narrow_inputs(model):
    """The inputs that nothing but QuantizeLinear reads."""
    readers = [(name, node.op_type) for node in model.graph.node for name in node.input]
    return {port.name for port in model.graph.input
            if {op for name, op in readers if name == port.name} == {"QuantizeLinear"}}


def fed(model, arrays):
    narrow = narrow_inputs(model)
    return {name: array if name in narrow else array.astype("f8")
            for name, array in arrays.items()}


def in_doubles(model):
    """The same network with reals of 64 bits; the scales and all other reals are as given. Inputs
    that are quantized at once are so in their own 32 bits, as the standard says."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}

    inputs = narrow_inputs(model)
    narrow = {node.input[1] for node in graph.node if node.input and node.input[0] in inputs}

    def wide(array, name=""):
        return array.astype("f8") if array.dtype == np.float32 and name not in narrow else array

    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                array = wide(numpy_helper.to_array(attribute.t))
                attribute.t.CopyFrom(numpy_helper.from_array(array))
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = {TensorProto.FLOAT: TensorProto.DOUBLE}.get(attribute.i, attribute.i)
    del graph.initializer[:], graph.value_info[:]
    for name, array in constants.items():
        graph.initializer.append(numpy_helper.from_array(wide(array, name), name))
    for port in (*graph.input, *graph.output):
        if port.type.tensor_type.elem_type == TensorProto.FLOAT and port.name not in inputs:
            port.type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


def with_codes(model):
    """The network with the codes of every QuantizeLinear as outputs too; and their names."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    constants = {c.name: c for c in model.graph.initializer}
    names = []
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        kind = constants[node.input[2]].data_type if len(node.input) > 2 else TensorProto.UINT8
        names.append(node.output[0])
        model.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    return model, names


def producers(model, code):
    """The operators between the codes and the codes before them, as they are written."""
    by_output = {name: node for node in model.graph.node for name in node.output}
    found, queue = [], [code]
    while queue:
        node = by_output.get(queue.pop())
        if node is None or node.op_type == "DequantizeLinear":
            continue
        if node.op_type != "QuantizeLinear":
            found.append(node.op_type)
        queue += node.input
    return "+".join(reversed(found)) or "input"


def run_ort(model, arrays, mode):
    """None where it fails to load the network."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if PEERS[mode]:
        options.add_session_config_entry("session.x64quantprecision", PEERS[mode])
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                               providers=["CPUExecutionProvider"])
    except Exception as error:  # pylint: disable=broad-except
        print(f"  {mode} fails to load the network: {str(error)[:160]}")
        return None
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays)))


def peers_of(model, arrays):
    runs = {mode: run_ort(model, arrays, mode) for mode in PEERS}
    return {mode: run for mode, run in runs.items() if run is not None}


def run_ours(program, model, arrays, folder, request=None, instructions=None):
    """Outputs, and what the program answers to a request."""
    path, inputs, outputs = folder / "network.onnx", folder / "inputs.npz", folder / "outputs.npz"
    path.write_bytes(model.SerializeToString())
    np.savez(inputs, **arrays)
    lines = f"outputs {outputs}\n" + (f"{request}\n" if request else "")
    result = subprocess.run([program, path, inputs, "1", *([instructions] if instructions else [])],
                            input=lines, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"{program}: {result.stderr.strip()}")
    with np.load(outputs) as archive:
        values = dict(archive)
    return values, json.loads(result.stdout.splitlines()[-1]) if request else None


def steps_of_outputs(model):
    """By output: the step from code to code, where it is dequantized last."""
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    by_output = {name: node for node in model.graph.node for name in node.output}
    steps = {}
    for output in model.graph.output:
        node = by_output[output.name]
        if node.op_type == "DequantizeLinear":
            steps[output.name] = float(constants[node.input[1]].max())
    return steps


def by_distance(values, truth, step=1.0):
    """How many are 1, 2 and more steps away."""
    distance = np.rint(np.abs(values.astype("f8").ravel() - truth.astype("f8").ravel()) / step)
    return [int((distance == 1).sum()), int((distance == 2).sum()), int((distance > 2).sum())]


def counts(numbers):
    one, two, more = numbers
    return f"{one + two + more} ({one} by 1, {two} by 2, {more} by more)"


def own_layers(model, names, codes, arrays):
    """For every code: what the definition makes of the codes that the execution had before it."""
    wide = in_doubles(model)
    by_output = {name: node for node in wide.graph.node for name in node.output}
    constants = {c.name for c in wide.graph.initializer}
    initializers = {c.name: c for c in wide.graph.initializer}
    results = {}
    for code in names:
        nodes, feeds, queue, seen = [], {}, [code], set()
        while queue:
            name = queue.pop()
            if not name or name in seen or name in constants:
                continue
            seen.add(name)
            if name != code and name in codes:
                feeds[name] = codes[name]
            elif name in by_output:
                nodes.append(by_output[name])
                queue += by_output[name].input
            else:
                feeds[name] = fed(model, arrays)[name]
        order = [node for node in wide.graph.node if any(node is other for other in nodes)]
        used = {name for node in order for name in node.input}
        graph = helper.make_graph(
            order, "layer",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype),
                                           array.shape) for name, array in feeds.items()],
            [helper.make_tensor_value_info(code, TensorProto.UNDEFINED, None)],
            [c for name, c in initializers.items() if name in used])
        part = helper.make_model(graph, opset_imports=model.opset_import)
        results[code] = ReferenceEvaluator(part, new_ops=OPERATORS).run(None, feeds)[0]
    return results


def report_layers(model, names, runs, truth, arrays, own):
    for label, values in runs.items():
        first = next((name for name in names if (values[name] != truth[name]).any()), None)
        if first is None:
            print(f"  {label}: no code of {len(names)} QuantizeLinear differs")
            continue
        wrong = sum(int((values[name] != truth[name]).sum()) for name in names)
        print(f"  {label}: {wrong} codes of all QuantizeLinear differ; first "
              f"{counts(by_distance(values[first], truth[first]))} of {truth[first].size} in "
              f"{first} ({producers(model, first)})")
        if not own:
            continue
        kinds = {}
        for name, right in own_layers(model, names, values, arrays).items():
            kind = kinds.setdefault(producers(model, name), np.zeros(5, "i8"))
            found = by_distance(values[name], right)
            kind += [1, right.size, *found]
        for kind, (layers, size, *found) in sorted(kinds.items(), key=lambda item: -item[1][2]):
            print(f"    {kind}: {layers} layers, {counts(found)} of {size} codes that differ from "
                  "the layer's own inputs'")


def compare(arguments, path, folder):
    model = onnx.load(path)
    random = np.random.default_rng(1)
    arrays = {port.name: random.standard_normal(
        [dim.dim_value or 1 for dim in port.type.tensor_type.shape.dim]).astype("f4")
        for port in model.graph.input}
    print(path.stem, flush=True)
    ours, exact = run_ours(arguments.program, model, arrays, folder,
                           None if arguments.skip_exact else "exact")
    if exact:
        print(f"  integers: {exact['differing']} of {exact['compared']} codes of {exact['steps']} "
              f"steps differ from unlimited integers; {exact['unlike']} of {exact['values']} "
              f"values differ in {exact['runs'] - 1} runs (instruction sets, 1 to 4 threads)")
        for wrong in exact["wrong"][:5]:
            print(f"    {wrong}")
    marked, names = with_codes(model)
    evaluator = ReferenceEvaluator(in_doubles(marked), new_ops=OPERATORS)
    outputs = [output.name for output in marked.graph.output]
    truth = dict(zip(outputs, evaluator.run(outputs, fed(model, arrays))))
    runs = {"ours": ours, **peers_of(model, arrays)}
    for output, step in steps_of_outputs(model).items():
        for label, values in runs.items():
            print(f"  {output}: {label} beside f64: "
                  f"{counts(by_distance(values[output], truth[output], step))} "
                  f"of {truth[output].size}")
        for mode in set(PEERS) & set(runs):
            print(f"  {output}: ours beside {mode}: "
                  f"{counts(by_distance(ours[output], runs[mode][output], step))}")
    layers = {"ours": run_ours(arguments.program, marked, arrays, folder)[0],
              **peers_of(marked, arrays)}
    report_layers(model, names, layers, truth, arrays, arguments.layers)
    sys.stdout.flush()
    return exact is None or (exact["differing"] == 0 and exact["unlike"] == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--program", required=True,
                        help="build/release/bench/tandem_host_quantized")
    parser.add_argument("--layers", action="store_true", help="each layer by itself too (slow)")
    parser.add_argument("--skip-exact", action="store_true", help="only the comparison of codes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        right = [compare(arguments, model, Path(folder)) for model in arguments.models]
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
