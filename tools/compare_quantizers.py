#!/usr/bin/env python3
"""Accuracy and time of quantization beside NNCF, ONNX Runtime and Brevitas.

    tools/compare_quantizers.py [--tandem build/release/tandem] [--limit N] [--only NETWORK ...]

Every tool gets the same float network as ONNX, the same 300 calibration samples and the same bits.
Each tool runs the recipes that its documentation gives for such networks (those of ours with class
biases use the labels of the calibration samples). The row shows the one of the greatest accuracy,
of equals of the least noise, with its own time; for a peer also the seconds of our fastest recipe
that is at least as accurate. Accuracies are those of the first N held-out samples (default 2,000),
noise is the energy of the change of the network's outputs as a share of theirs: ours of the lowered
module, the peers' of their networks as written, run by ONNX Runtime without fusions (Brevitas: by
PyTorch), so that no saturation of a kernel is laid at their door. Times are those of the
quantization alone, reading and writing of files included, imports of Python excluded. Prints a
table in Markdown.
Needs `tools/setup.sh quantizers`; Brevitas takes part where PyTorch is installed.
"""
import argparse
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat,
                                      QuantType, quantize_static)
from onnxruntime.quantization.shape_inference import quant_pre_process

from quantization_table import ROOT, networks

SAMPLES = 300
# Bits, and our recipes for them.
MIN_MAX = ["--method", "minmax", "--weight-method", "minmax"]
CORRECTED = ["--bias-correction", "--rounding"]
OURS = {
    "W8A8": {"min-max": MIN_MAX,
             "mse": [], "output error": ["--method", "output_error", "--weight-method",
                                         "output_error"],
             "gptq, bias correction": [*CORRECTED, "gptq"],
             "adaround": ["--weight-method", "minmax", "--rounding", "adaround"],
             "class biases": ["--class-biases"],
             "gptq, bias correction, class biases": [*CORRECTED, "gptq", "--class-biases"]},
    "W4A8": {"min-max": ["--weights", "int4", *MIN_MAX],
             "gptq, bias correction": ["--weights", "int4", *CORRECTED, "gptq"],
             "descent, bias correction": ["--weights", "int4", *CORRECTED, "descent"],
             "adaround": ["--weights", "int4", "--weight-method", "minmax", "--rounding",
                          "adaround"],
             "gptq, bias correction, class biases": ["--weights", "int4", *CORRECTED, "gptq",
                                                     "--class-biases"]},
    # Convolutions stay real, as with the peers.
    "W4": {name: ["--weights", "uint4", "--activations", "f32", "--granularity", "group:32",
                  *options]
           for name, options in (("min-max", ["--weight-method", "minmax"]), ("mse", []),
                                 ("gptq", ["--rounding", "gptq"]),
                                 ("descent", ["--rounding", "descent"]))},
}


@dataclass
class Network:
    name: str
    model: Path        # float, ONNX
    data: Path         # npz: the calibration samples as its training set, and held-out ones
    options: list      # of tandem, for the data
    calibration: np.ndarray
    test: np.ndarray   # as the network takes them
    labels: np.ndarray

    @property
    def input(self):
        return onnx.load(self.model).graph.input[0].name

    @property
    def is_transformer(self):
        return any(node.op_type == "Softmax" and node.output[0] not in
                   {o.name for o in onnx.load(self.model).graph.output}
                   for node in onnx.load(self.model).graph.node)


def outputs_of(run, samples):
    step = 100
    return np.concatenate([run(samples[i:i + step]) for i in range(0, len(samples), step)])


def onnx_outputs(path, network):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return outputs_of(lambda x: session.run(None, {name: x})[0], network.test)


class Samples(CalibrationDataReader):
    """One sample at a time, as both ONNX Runtime and its documentation's examples take them."""

    def __init__(self, network):
        self.left = iter({network.input: x[None]} for x in network.calibration)

    def get_next(self):
        return next(self.left, None)


def timed(work):
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


# ---- Peers -------------------------------------------------------------------------------------

def ort_recipes(network, bits, folder):
    """Static quantization: S8S8 and U8S8 of QDQ form, by each calibration method."""
    if bits == "W4":
        yield from ort_block_recipes(network, folder)
        return
    weights = QuantType.QInt8 if bits == "W8A8" else QuantType.QInt4
    for method in (CalibrationMethod.MinMax, CalibrationMethod.Entropy,
                   CalibrationMethod.Percentile):
        for activations in (QuantType.QUInt8, QuantType.QInt8):
            path = folder / "ort.onnx"

            def work(method=method, activations=activations, path=path):
                prepared = folder / "prepared.onnx"
                quant_pre_process(str(network.model), str(prepared), skip_symbolic_shape=True)
                quantize_static(str(prepared), str(path), Samples(network),
                                quant_format=QuantFormat.QDQ, per_channel=True,
                                weight_type=weights, activation_type=activations,
                                calibrate_method=method)

            yield (f"{method.name}, {activations.name[1:].lower()}", work,
                   lambda path=path: onnx_outputs(path, network))


def ort_block_recipes(network, folder):
    """Weights of MatMul alone, in blocks of 32: round to nearest, and HQQ."""
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    path = folder / "ort.onnx"
    for name, config in (
            ("nearest", nbits.DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=False)),
            ("HQQ", nbits.HQQWeightOnlyQuantConfig(block_size=32))):

        def work(config=config):
            model = onnx.load(network.model)
            quantizer = nbits.MatMulNBitsQuantizer(model, algo_config=config)
            quantizer.process()
            quantizer.model.save_model_to_file(str(path))

        yield name, work, lambda: onnx_outputs(path, network)


def nncf_recipes(network, bits, folder):
    import nncf

    path = folder / "nncf.onnx"
    data = nncf.Dataset([{network.input: x[None]} for x in network.calibration])
    kind = nncf.ModelType.TRANSFORMER if network.is_transformer else None

    def outputs():
        return onnx_outputs(path, network)

    if bits == "W8A8":
        for fast in (True, False):

            def work(fast=fast):
                model = nncf.quantize(onnx.load(network.model), data,
                                      preset=nncf.QuantizationPreset.MIXED, subset_size=SAMPLES,
                                      fast_bias_correction=fast, model_type=kind)
                onnx.save(model, path)

            yield f"{'fast ' if fast else ''}bias correction", work, outputs
    if bits == "W4":
        for name, options in (("nearest", {}), ("AWQ", {"awq": True}),
                              ("scale estimation", {"scale_estimation": True}),
                              ("AWQ, scale estimation", {"awq": True, "scale_estimation": True})):

            def work(options=options):
                model = nncf.compress_weights(
                    onnx.load(network.model), mode=nncf.CompressWeightsMode.INT4_SYM,
                    group_size=32, ratio=1.0, all_layers=True, dataset=data,
                    subset_size=SAMPLES,
                    ignored_scope=nncf.IgnoredScope(types=["Conv"], validate=False), **options)
                onnx.save(model, path)

            yield name, work, outputs


def brevitas_recipes(network, bits, folder):
    """Its program for post-training quantization (brevitas_examples), with GPTQ and bias
    correction. Matrix products that are no torch.nn.Linear it leaves real, so transformers are left
    out."""
    del folder
    if bits == "W4" or network.is_transformer:
        return
    import onnx2torch
    import torch
    from brevitas.graph.quantize import preprocess_for_quantize
    from brevitas_examples.imagenet_classification.ptq import ptq_common as ptq

    loader = [(torch.tensor(network.calibration[i:i + 50]), None)
              for i in range(0, SAMPLES, 50)]
    held = {}
    for ranges, rounding in (("stats", "gptq"), ("mse", "gptq"), ("stats", None)):

        def work(ranges=ranges, rounding=rounding):
            model = preprocess_for_quantize(onnx2torch.convert(str(network.model)).eval())
            model = ptq.quantize_model(
                model, backend="fx", weight_bit_width=int(bits[1]), act_bit_width=8,
                bias_bit_width=None, weight_quant_granularity="per_channel",
                act_quant_percentile=99.999, act_quant_type="sym",
                scale_factor_type="float_scale", quant_format="int",
                weight_param_method=ranges, act_param_method=ranges)
            with torch.no_grad():
                model(loader[0][0])
                ptq.calibrate(loader, model)
                if rounding == "gptq":
                    ptq.apply_gptq(loader, model, act_order=True)
                ptq.apply_bias_correction(loader, model)
            held["model"] = model.eval()

        def outputs():
            with torch.no_grad():
                return outputs_of(lambda x: held["model"](torch.tensor(x)).numpy(), network.test)

        yield f"{ranges}, {rounding or 'nearest'}, bias correction", work, outputs


def peers():
    return {"ONNX Runtime": ort_recipes, "NNCF": nncf_recipes, "Brevitas": brevitas_recipes}


# ---- Ours --------------------------------------------------------------------------------------

def tandem(program, arguments):
    done = subprocess.run([str(part) for part in [program, *arguments]], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def our_recipes(program):
    def recipes(network, bits, folder):
        module, results = folder / "ours.tandem", folder / "ours.npz"
        data = ["--data", f"npz:{network.data}", *network.options]
        ignored = []
        if bits == "W4":
            for node in onnx.load(network.model).graph.node:
                ignored += ["--ignore", node.name] if node.op_type == "Conv" else []
        for name, options in OURS[bits].items():

            def work(options=options):
                tandem(program, ["compress", network.model, *data, "--calibration", SAMPLES,
                                 "--selection", 0, *options, *ignored, "--skip-accuracy", "-o",
                                 module])

            def outputs():
                tandem(program, ["run", module, *data, "--execution", "cpu", "--output", results])
                found = next(iter(np.load(results).values()))
                return found.reshape(len(found), -1)

            yield name, work, outputs

    return recipes


def results_of(tool, network, bits, folder, exact):
    """What each recipe that runs gives, (-accuracy, noise, seconds, name): the greatest accuracy
    first, of equals the least noise."""
    found, reasons = [], []
    for name, work, outputs in tool(network, bits, folder):
        try:
            with contextlib.redirect_stdout(io.StringIO()), \
                    contextlib.redirect_stderr(io.StringIO()):
                _, seconds = timed(work)
            scores = outputs()
        except Exception as error:  # pylint: disable=broad-except  # whatever a peer raises
            reasons.append(f"{name}: {str(error).splitlines()[0] if str(error) else repr(error)}")
            continue
        accuracy = float((scores.argmax(-1) == network.labels).mean())
        noise = 10 * np.log10(((scores - exact) ** 2).sum() / (exact ** 2).sum())
        print(f"  {network.name} {bits} {name}: {100 * accuracy:.2f} %, {noise:.1f} dB in "
              f"{seconds:.1f} s", file=sys.stderr, flush=True)
        found.append((-accuracy, noise, seconds, name))
    for reason in reasons:
        print(f"  {network.name} {bits} did not run: {reason}", file=sys.stderr, flush=True)
    return sorted(found)


# ---- Networks ----------------------------------------------------------------------------------

def with_plain_weights(model):
    """Constants behind a Cast as 32-bit floats, since the peers look for weights nowhere else; any
    number of samples at once."""
    for port in [*model.graph.input, *model.graph.output]:
        port.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is not None and numpy_helper.to_array(shape)[0] == 1:
            kept = numpy_helper.to_array(shape).copy()
            kept[0] = 0  # as many as there are
            shape.CopyFrom(numpy_helper.from_array(kept, shape.name))
        if node.op_type != "Cast" or node.input[0] not in constants:
            nodes.append(node)
            continue
        values = numpy_helper.to_array(constants[node.input[0]]).astype("f4")
        model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    return model


def prepared(program, limit, only, folder):
    """The networks as ONNX with an npz each: samples of the training set drawn by a seed, and
    held-out ones."""
    for name, (model, data, *options) in networks().items():
        if name in ("characters", "outliers") or (only and name not in only):
            continue
        kind, place = data.split(":", 1)
        path = folder / f"{name}.onnx"
        if model.suffix != ".onnx":
            tandem(program, ["show", model, "-o", path])
        onnx.save(with_plain_weights(onnx.load(path if path.exists() else model)), path)
        arrays = dict(np.load(place)) if kind == "npz" else cifar10(Path(place))
        scale = float(arrays.get("scale", 1 / 255))
        chosen = np.random.default_rng(1).permutation(len(arrays["train_images"]))[:SAMPLES]
        calibration = arrays["train_images"][chosen]
        test, labels = arrays["test_images"][:limit], arrays["test_labels"][:limit]
        np.savez(folder / f"{name}.npz", train_images=calibration, test_images=test,
                 test_labels=labels, train_labels=arrays["train_labels"][chosen], scale=scale)
        # What --preprocess does, for the one setting that is used here.
        divisor = float(options[1].removeprefix("std=")) if options else 1.0
        dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1:]
        shape = [dim.dim_value for dim in dims]

        def reals(images, shape=shape, factor=scale / divisor):
            if images.ndim == 4 and list(images.shape[1:]) != shape and shape[-1] == 3:
                images = images.transpose(0, 2, 3, 1)
            return (images.astype("f8") * factor).astype("f4").reshape(len(images), *shape)

        yield Network(name, path, folder / f"{name}.npz", options, reals(calibration),
                      reals(test), labels)


def cifar10(folder):
    def read(names):
        raw = np.concatenate([np.fromfile(folder / name, "u1").reshape(-1, 3073)
                              for name in names])
        return raw[:, 1:].reshape(-1, 3, 32, 32), raw[:, 0].astype("i8")

    train, train_labels = read([f"data_batch_{i}.bin" for i in range(1, 6)
                                if (folder / f"data_batch_{i}.bin").exists()])
    test, test_labels = read(["test_batch.bin"])
    return {"train_images": train, "train_labels": train_labels, "test_images": test,
            "test_labels": test_labels}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=ROOT / "build" / "release" / "tandem", type=Path)
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--only", nargs="*", help="networks: digits, resnet, vit")
    parser.add_argument("--peers", nargs="*", default=list(peers()), choices=list(peers()))
    parser.add_argument("--bits", nargs="*", default=list(OURS), choices=list(OURS))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    print("| network | bits | tool | recipe | accuracy % | noise dB | seconds | ours as accurate |")
    print("|---|---|---|---|---:|---:|---:|---:|", flush=True)
    tools = {"Tandem": our_recipes(arguments.tandem),
             **{name: peers()[name] for name in arguments.peers}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for network in prepared(arguments.tandem, arguments.limit, arguments.only, folder):
            exact = onnx_outputs(network.model, network)
            accuracy = (exact.argmax(-1) == network.labels).mean()
            print(f"| {network.name} | float | | | {100 * accuracy:.2f} | | | |", flush=True)
            for bits in arguments.bits:
                if bits == "W4" and not network.is_transformer:
                    continue  # the peers take convolutions with 4-bit weights in W4A8 alone
                ours = []
                for name, tool in tools.items():
                    results = results_of(tool, network, bits, folder, exact)
                    ours = ours or results  # they come first
                    if not results:
                        continue
                    loss, noise, seconds, recipe = results[0]
                    fast = [took for other, _, took, _ in ours if other <= loss]
                    least = f"{min(fast):.2f}" if fast and results is not ours else ""
                    print(f"| {network.name} | {bits} | {name} | {recipe} | {-100 * loss:.2f} | "
                          f"{noise:.1f} | {seconds:.2f} | {least} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
