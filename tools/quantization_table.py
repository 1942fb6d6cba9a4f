#!/usr/bin/env python3
"""Accuracy of real networks in many number formats and recipes, from the lowered module.

    tools/quantization_table.py [--tandem build/release/tandem] [--limit N] [--only NETWORK ...]

Prints a table in Markdown: one row for each recipe, one column for each network whose data are
there (TANDEM_DATA; the digits of examples/ always). A cell is the accuracy of the lowered network
on the first N held-out samples (default 2,000), or why the recipe cannot be had.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))

MX = ["--granularity", "group:32", "--scales", "e8m0"]
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
    ("ternary weights, uint8", ["--weights", "ternary", "--activations", "uint8"]),
    ("ternary weights descent, uint8", ["--weights", "ternary", "--activations", "uint8",
                                        "--rounding", "descent"]),
    ("W8A8 equalize", ["--rewrite", "equalize"]),
    ("W4A4 min-max", ["--weights", "int4", "--activations", "uint4", "--method", "minmax"]),
    ("W4A4 power-of-two factors", ["--weights", "int4", "--activations", "uint4", "--rewrite",
                                   "ptf:3"]),
    ("W4A4 RepQ", ["--weights", "int4", "--activations", "uint4", "--rewrite", "repq"]),
]


def networks():
    digits = ROOT / "examples" / "digits"
    found = {"digits": (digits / "digits.onnx", f"npz:{digits / 'digits.npz'}")}
    resnet = DATA / "models" / "mlperf_tiny" / "pretrainedResnet.tflite"
    if resnet.exists():
        found["resnet"] = (resnet, f"cifar10:{DATA / 'cifar10'}")
    vit = ROOT / "examples" / "transformers" / "vit.onnx"
    if vit.exists() and (DATA / "cifar10").exists():
        found["vit"] = (vit, f"cifar10:{DATA / 'cifar10'}")
    return found


def run(tandem, network, recipe, limit, folder):
    model, data = network
    command = [tandem, "compress", model, "--data", data, "--limit", str(limit), *recipe, "--json",
               "-o", pathlib.Path(folder) / "out.tandem"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1].removeprefix("tandem: ")
    return json.loads(done.stdout), ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=ROOT / "build" / "release" / "tandem")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--only", nargs="*", help="networks: digits, resnet, vit")
    arguments = parser.parse_args()
    chosen = {name: network for name, network in networks().items()
              if not arguments.only or name in arguments.only}
    if not chosen:
        parser.error(f"none of these networks is here; there are {', '.join(networks())}")
    print("| weights and activations | " + " | ".join(chosen) + " |", flush=True)
    print("|---|" + "---:|" * len(chosen), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, recipe in RECIPES:
            cells = []
            for network in chosen.values():
                result, reason = run(arguments.tandem, network, recipe, arguments.limit, folder)
                if result is None:
                    cells.append("–")
                    print(f"{name}: {reason}", file=sys.stderr)
                    continue
                accuracy = result["accuracy"]
                cells.append(f"{100 * accuracy.get('reference', accuracy['recoded']):.2f}")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
