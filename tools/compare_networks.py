#!/usr/bin/env python3
"""Compares whole networks on this processor's kernels with the programs that own their formats.

    tools/compare_networks.py --tandem build/release MODEL.onnx|MODEL.tflite ...

ONNX files are run by ONNX Runtime on each inputs file NAME.npz and NAME.SIZES.npz beside NAME.onnx
(tools/export_networks.py writes both); those of QONNX by PyPI's qonnx as tools/compare_qonnx.py
does, and TensorFlow Lite's by tflite-micro and ai-edge-litert as tools/compare_tflite.py does: both
compare the values between the layers too. Prints one table: the greatest difference of reals
(beside ONNX Runtime relative to the greatest magnitude of an output), and how many integers differ.
Exits 1 where reals differ by more than 1e-4, integers at all (of QONNX: without a threshold that
explains it), or a network is refused.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx

LIMIT = 1e-4  # of reals
QONNX_DOMAINS = ("qonnx", "onnx.brevitas", "finn")


def row_of(network, inputs, peer, error="", integers="", is_wrong=False):
    return {"cells": [network, inputs, peer, error, integers], "wrong": is_wrong}


# ---- ONNX Runtime ----

def differences(ours, peer):
    """Of two lists of outputs: the greatest relative error, differing integers and all integers."""
    worst, wrong, count = 0.0, 0, 0
    for a, b in zip(ours, peer):
        if a.shape != b.shape:
            raise SystemExit(f"an output is {a.shape} where the peer's is {b.shape}")
        if np.issubdtype(b.dtype, np.floating):
            x, y = a.astype("f8"), b.astype("f8")
            if not np.array_equal(np.isfinite(x), np.isfinite(y)):
                return np.inf, wrong, count
            x, y = x[np.isfinite(x)], y[np.isfinite(y)]
            if y.size:
                worst = max(worst, float(np.abs(x - y).max() / (np.abs(y).max() or 1)))
        else:
            wrong, count = wrong + int((a != b).sum()), count + b.size
    return worst, wrong, count


def input_files(path):
    files = sorted(path.parent.glob(f"{path.stem}.npz")) + sorted(path.parent.glob(
        f"{path.stem}.*.npz"))
    if not files:
        raise SystemExit(f"{path}: no inputs {path.stem}.npz beside it")
    return files


def compare_onnx(path, options):
    import onnxruntime  # pylint: disable=import-outside-toplevel
    sys.path.insert(0, str(options.tandem / "python"))
    import tandem  # pylint: disable=import-error,import-outside-toplevel
    tandem.set_thread_count(options.threads)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    rows = []
    try:
        network = tandem.load(path)
    except tandem.Error as refused:
        return [row_of(path.stem, "", "ONNX Runtime", f"refused: {refused}", "", True)]
    for file in input_files(path):
        sizes = file.stem.removeprefix(path.stem).removeprefix(".")
        with np.load(file) as archive:
            inputs = dict(archive)
        try:
            computed = network.run(inputs, execution=options.execution)
        except tandem.Error as refused:
            rows.append(row_of(path.stem, sizes, "ONNX Runtime", f"refused: {refused}", "", True))
            continue
        worst, wrong, count = differences([computed[name] for name in names],
                                          session.run(names, inputs))
        rows.append(row_of(path.stem, sizes, "ONNX Runtime", f"{worst:.1e}",
                           f"{wrong} of {count:,}" if count else "", wrong > 0 or worst > LIMIT))
    return rows


# ---- The tools that look between the layers ----

def compare_qonnx(path, options):
    import warnings  # pylint: disable=import-outside-toplevel
    warnings.simplefilter("ignore")
    import compare_qonnx as tool  # pylint: disable=import-error,import-outside-toplevel
    rows = []
    given = argparse.Namespace(samples=options.samples, seed=1, executions="float,reference",
                               tandem=str(options.tandem / "tandem"))
    for result in tool.compare(path, given):
        rows.append(row_of(path.stem, f"{options.samples} random, {result.execution}", "qonnx",
                           f"{result.greatest:.1e}",
                           f"{result.bad_codes} of {result.codes:,}", result.faults > 0))
    return rows


def compare_tflite(path, options):
    import compare_tflite as tool  # pylint: disable=import-error,import-outside-toplevel
    given = argparse.Namespace(samples=options.samples, seed=1, executions="reference,cpu",
                               tandem=str(options.tandem / "tandem"))
    rows = []
    for result in tool.compare(path, given)[0]:
        if result.execution.startswith("litert"):
            continue  # a peer beside the authority
        is_real = result.execution == "float"
        peer = "LiteRT, reference" if is_real else "tflite-micro"
        integers = "" if is_real else f"{result.differing:,} of {result.values:,}"
        rows.append(row_of(path.stem, f"{options.samples} random, {result.execution}", peer,
                           f"{result.greatest:.1e}" if is_real else "", integers,
                           result.differing > 0))
    return rows


def compare(path, options):
    if path.suffix == ".tflite":
        return compare_tflite(path, options)
    model = onnx.load(path, load_external_data=False)
    if any(node.domain.startswith(QONNX_DOMAINS) for node in model.graph.node):
        return compare_qonnx(path, options)
    return compare_onnx(path, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--tandem", type=Path, default=Path("build/release"),
                        help="the build's folder [%(default)s]")
    parser.add_argument("--execution", default="cpu", help="of ONNX files [%(default)s]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=20,
                        help="random inputs of QONNX and TensorFlow Lite files [%(default)s]")
    options = parser.parse_args()
    print("| network | inputs | peer | greatest difference | differing integers |")
    print("|---|---|---|---:|---:|", flush=True)
    wrong = 0
    for path in options.models:
        for row in compare(path, options):
            print("| " + " | ".join(row["cells"]) + " |", flush=True)
            wrong += row["wrong"]
    print(f"\n{wrong} rows beyond the limits" if wrong else "\nall within the limits")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
