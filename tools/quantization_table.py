#!/usr/bin/env python3
"""Accuracy of real networks in many number formats and recipes, from the lowered module.

    tools/quantization_table.py [--tandem build/release/tandem] [--limit N] [--only NETWORK ...]

Prints a table in Markdown: one row for each recipe, one column for each network whose data are
there (TANDEM_DATA; the digits of examples/ always). A cell is the accuracy of the lowered network
on the first N held-out samples (default 2,000) in percent, for the model of characters its
perplexity; – where the recipe cannot be had, with the reason on the standard error. "outliers" is
the vision transformer with channels planted that reach 64 times as far.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))

MX = ["--granularity", "group:32", "--scales", "e8m0"]
MX_VALUES = ["--token-scales", "--token-block", "32"]
# Name of the row, options.
RECIPES = [
    ("int8", ["--weights", "int8", "--activations", "uint8"]),
    ("int8, one scale per layer", ["--weights", "int8", "--activations", "uint8", "--granularity",
                                   "tensor"]),
    ("int6", ["--weights", "int6", "--activations", "uint6"]),
    ("int4", ["--weights", "int4", "--activations", "uint4"]),
    ("int4 gptq", ["--weights", "int4", "--activations", "uint4", "--rounding", "gptq"]),
    ("int4 descent + bias correction", ["--weights", "int4", "--activations", "uint4",
                                        "--rounding", "descent", "--bias-correction"]),
    ("W4A8 nearest", ["--weights", "int4", "--activations", "uint8"]),
    ("W4A8 gptq", ["--weights", "int4", "--activations", "uint8", "--rounding", "gptq"]),
    ("W4A8 adaround", ["--weights", "int4", "--activations", "uint8", "--rounding", "adaround"]),
    ("W4A8 descent", ["--weights", "int4", "--activations", "uint8", "--rounding", "descent"]),
    ("e4m3", ["--weights", "e4m3", "--activations", "e4m3"]),
    ("e5m2", ["--weights", "e5m2", "--activations", "e5m2"]),
    ("e3m4", ["--weights", "e3m4", "--activations", "e3m4"]),
    ("e3m2", ["--weights", "e3m2", "--activations", "e3m2"]),
    ("e2m1", ["--weights", "e2m1", "--activations", "e2m1"]),
    ("e2m1 weights, uint8", ["--weights", "e2m1", "--activations", "uint8"]),
    ("nf4 weights, uint8", ["--weights", "nf4", "--activations", "uint8"]),
    ("MXFP4 weights, uint8", ["--weights", "e2m1", "--activations", "uint8", *MX]),
    ("MXFP6 weights, uint8", ["--weights", "e3m2", "--activations", "uint8", *MX]),
    ("MXFP8 (e4m3)", ["--weights", "e4m3", "--activations", "e4m3", *MX, *MX_VALUES]),
    ("MXFP6 (e2m3)", ["--weights", "e2m3", "--activations", "e2m3", *MX, *MX_VALUES]),
    ("MXFP4", ["--weights", "e2m1", "--activations", "e2m1", *MX, *MX_VALUES]),
    ("ternary weights, uint8", ["--weights", "ternary", "--activations", "uint8"]),
    ("ternary weights descent, uint8", ["--weights", "ternary", "--activations", "uint8",
                                        "--rounding", "descent"]),
    ("e3m2 weights per row, f32", ["--weights", "e3m2", "--activations", "f32",
                                   "--weight-method", "minmax"]),
    ("uint4 weights in groups of 128, f32", ["--weights", "uint4", "--activations", "f32",
                                             "--weight-method", "minmax", "--granularity",
                                             "group:128"]),
    ("uint4 gptq in groups of 128, f32", ["--weights", "uint4", "--activations", "f32",
                                          "--weight-method", "minmax", "--granularity",
                                          "group:128", "--rounding", "gptq"]),
    ("W8A8 equalize", ["--rewrite", "equalize"]),
    ("W4A4 min-max", ["--weights", "int4", "--activations", "uint4", "--method", "minmax"]),
    ("W4A4 power-of-two factors", ["--weights", "int4", "--activations", "uint4", "--rewrite",
                                   "ptf:3"]),
    ("W4A4 RepQ", ["--weights", "int4", "--activations", "uint4", "--rewrite", "repq"]),
    ("W4A4 RepQ gptq", ["--weights", "int4", "--activations", "uint4", "--rewrite", "repq",
                        "--rounding", "gptq"]),
]


def networks():
    digits = ROOT / "examples" / "digits"
    found = {"digits": (digits / "digits.onnx", f"npz:{digits / 'digits.npz'}")}
    resnet = DATA / "models" / "mlperf_tiny" / "pretrainedResnet.tflite"
    if resnet.exists():
        # Its pixels are reals up to 255.
        found["resnet"] = (resnet, f"cifar10:{DATA / 'cifar10'}", "--preprocess",
                           "std=0.00392156862745098")
    if (DATA / "text").exists():
        found["characters"] = (ROOT / "examples" / "transformers" / "characters.onnx", None)
    vit = ROOT / "examples" / "transformers" / "vit.onnx"
    if vit.exists() and (DATA / "cifar10").exists():
        found["vit"] = (vit, f"cifar10:{DATA / 'cifar10'}")
        found["outliers"] = (vit, f"cifar10:{DATA / 'cifar10'}")
    return found


def plant_outliers(source, path, channels=4, factor=64.0):
    """The same function with a few channels behind each normalization `factor` times as large, and
    the rows of weights that read them as much smaller: the outliers of large language models."""
    model = onnx.load(source)
    graph = model.graph
    readers, nodes = {}, []
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    random = np.random.default_rng(5)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node}

    def size_of(name):
        while name not in constants:
            name = made[name].input[0]
        return constants[name].shape[0]

    def scaled(name, by):
        factors = onnx.numpy_helper.from_array(by.astype("f4"), f"{name}.planted_factors")
        graph.initializer.append(factors)
        nodes.append(onnx.helper.make_node("Mul", [name, factors.name], [f"{name}.planted"],
                                           name=f"{name}.planted"))
        return f"{name}.planted"

    for node in list(graph.node):
        reading = readers.get(node.output[0], [])
        if node.op_type == "LayerNormalization" and {n.op_type for n in reading} == {"MatMul"}:
            by = np.ones(size_of(node.input[1]))
            by[random.choice(len(by), channels, replace=False)] = factor
            node.input[1], node.input[2] = (scaled(name, by) for name in node.input[1:3])
            for reader in reading:
                reader.input[1] = scaled(reader.input[1], 1 / by[:, None])
    for added in nodes:  # right before their first reader
        at = next(i for i, node in enumerate(graph.node) if added.output[0] in node.input)
        graph.node.insert(at, added)
    onnx.save(model, path)


WINDOW = 128


def character_windows(folder):
    """Windows of tiny Shakespeare as an npz set: 256 of the training text, all of the rest."""
    text = (DATA / "text" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    model = ROOT / "examples" / "transformers" / "characters.onnx"
    entries = onnx.load(model).metadata_props
    vocabulary = next(entry.value for entry in entries if entry.key == "vocabulary")
    number = {letter: i for i, letter in enumerate(vocabulary)}
    ids = np.array([number[letter] for letter in text])
    cut = len(ids) * 9 // 10
    train = ids[:cut // WINDOW * WINDOW].reshape(-1, WINDOW)
    train = train[::len(train) // 256][:256]
    test = ids[cut:]
    count = (len(test) - 1) // WINDOW
    following = test[1:count * WINDOW + 1].reshape(count, WINDOW)
    path = pathlib.Path(folder) / "characters.npz"
    test = test[:count * WINDOW].reshape(count, WINDOW)
    np.savez(path, train_images=train, test_images=test)
    return path, test, following


def perplexity(tandem, module, test, following, limit, folder):
    """Of the characters behind the places of the first windows."""
    folder = pathlib.Path(folder)
    count = min(limit, len(test))
    np.savez(folder / "ids.npz", ids=test[:count])
    subprocess.run([str(tandem), "run", str(module), "--input", str(folder / "ids.npz"), "--output",
                    str(folder / "logits.npz"), "--execution", "cpu"], capture_output=True,
                   check=True)
    logits = np.load(folder / "logits.npz")["logits"].astype("f8")
    logits -= logits.max(-1, keepdims=True)
    places = np.take_along_axis(logits, following[:count, :, None], -1)[..., 0]
    return math.exp((np.log(np.exp(logits).sum(-1)) - places).mean())


def run(tandem, network, recipe, limit, folder):
    model, data, *options = network
    if "--skip-accuracy" not in recipe:
        options += ["--limit", str(limit)]
    command = [tandem, "compress", model, "--data", data, *options, *recipe,
               "--json", "-o", pathlib.Path(folder) / "out.tandem"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1].removeprefix("tandem: ")
    return json.loads(done.stdout), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=ROOT / "build" / "release" / "tandem")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--only", nargs="*",
                        help="networks: digits, resnet, characters, vit, outliers")
    parser.add_argument("--rows", nargs="*", help="only rows whose names contain one of these")
    arguments = parser.parse_args()
    chosen = {name: network for name, network in networks().items()
              if not arguments.only or name in arguments.only}
    if not chosen:
        parser.error(f"none of these networks is here; there are {', '.join(networks())}")
    print("| weights and activations | " + " | ".join(chosen) + " |", flush=True)
    print("|---|" + "---:|" * len(chosen), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if "characters" in chosen:
            windows, test, following = character_windows(folder)
            model = chosen["characters"][0]
            chosen["characters"] = (model, f"npz:{windows}")
        if "outliers" in chosen:
            planted = pathlib.Path(folder) / "planted.onnx"
            plant_outliers(chosen["outliers"][0], planted)
            chosen["outliers"] = (planted, *chosen["outliers"][1:])

        def measured(module):
            found = perplexity(arguments.tandem, module, test, following, arguments.limit, folder)
            return f"{found:.4f}"

        for name, recipe in [("float", None), *RECIPES]:
            if arguments.rows and not any(part in name for part in arguments.rows):
                continue
            cells = []
            for title, network in chosen.items():
                if recipe is None and title == "characters":
                    cells.append(measured(model))
                    continue
                skip = ["--skip-accuracy"] if title == "characters" else []
                result, reason = run(arguments.tandem, network, [*(recipe or []), *skip],
                                     arguments.limit, folder)
                if result is None:
                    cells.append("–")
                    print(f"{title}, {name}: {reason}", file=sys.stderr)
                elif title == "characters":
                    cells.append(measured(pathlib.Path(folder) / "out.tandem"))
                else:
                    accuracy = result["accuracy"]
                    kind = "float" if recipe is None else "lowered"
                    mark = "†" if "not_lowered" in result else ""
                    cells.append(f"{100 * accuracy.get(kind, accuracy['recoded']):.2f}{mark}")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
