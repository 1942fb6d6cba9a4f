#!/usr/bin/env python3
"""Predicted beside measured latency of whole networks on this processor.

    tools/estimates_host.py --devices build/host build/networks/*.onnx

For each number of threads `tandem measure` writes a device file FOLDER/THREADS.toml, unless it is
there already; then each network's latency is estimated on it and measured by `tandem run --bench`,
with the sizes of NAME.npz beside it. Prints one table. What else runs at the same time is measured
too: --measure, --bench and --table do one part each, the first two with nothing else running.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx


def tandem(options, *arguments):
    """What a verb answers as JSON, or None where it refuses; the reason goes to stderr."""
    done = subprocess.run([options.tandem, *map(str, arguments), "--json", "--quiet"], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
        return None
    return json.loads(done.stdout)


def bindings(path):
    """The symbols of a network as the inputs beside it have them."""
    sizes = {}
    with np.load(path.with_suffix(".npz")) as inputs:
        for port in onnx.load(path, load_external_data=False).graph.input:
            if port.name not in inputs.files:
                continue
            for dim, extent in zip(port.type.tensor_type.shape.dim, inputs[port.name].shape):
                if dim.dim_param:
                    sizes[dim.dim_param] = extent
    return sizes


def bound(options, path):
    """--bind for those symbols that the network still has."""
    shown = tandem(options, "show", path)
    names = {symbol["name"] for symbol in shown["symbols"]} if shown else set()
    return [argument for name, extent in bindings(path).items() if name in names
            for argument in ("--bind", f"{name}={extent}")]


def device_file(options, threads):
    return options.devices / f"{threads}.toml"


def measure(options, threads):
    options.devices.mkdir(parents=True, exist_ok=True)
    if not device_file(options, threads).exists():
        tandem(options, "measure", "--threads", threads, "-o", device_file(options, threads))


def bench(options, threads, path):
    file = options.devices / f"{path.stem}.{threads}.json"
    if file.exists():
        return
    answer = tandem(options, "run", path, *bound(options, path), "--execution", "cpu", "--bench",
                    "--threads", threads, "--runs", options.runs)
    if answer is not None:
        file.write_text(json.dumps(answer["bench"]), encoding="utf-8")


def table(options):
    print("| network | threads | measured ms | predicted ms | error |\n|---|---:|---:|---:|---:|")
    errors = {}
    for threads in options.threads:
        for path in options.models:
            file = options.devices / f"{path.stem}.{threads}.json"
            estimate = tandem(options, "estimate", path, *bound(options, path), "--device",
                              device_file(options, threads))
            if not file.exists() or estimate is None:
                print(f"| {path.stem} | {threads} | refused | | |")
                continue
            measured = json.loads(file.read_text(encoding="utf-8"))["median_seconds"]
            predicted = estimate["total"]["latency_seconds"]["value"] if isinstance(
                estimate["total"]["latency_seconds"], dict) else estimate["total"][
                    "latency_seconds"]
            error = predicted / measured - 1
            errors.setdefault(threads, []).append(abs(error))
            print(f"| {path.stem} | {threads} | {measured * 1e3:.2f} | {predicted * 1e3:.2f} | "
                  f"{error:+.0%} |", flush=True)
    for threads, values in errors.items():
        print(f"\n{threads} threads: {len(values)} networks, median error "
              f"{statistics.median(values):.0%}, greatest {max(values):.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--devices", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--tandem", default="build/release/tandem")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=10)
    for part in ("measure", "bench", "table"):
        parser.add_argument(f"--{part}", action="store_true")
    options = parser.parse_args()
    every = not (options.measure or options.bench or options.table)
    for threads in options.threads:
        if every or options.measure:
            measure(options, threads)
        for path in options.models:
            if every or options.bench:
                bench(options, threads, path)
    if every or options.table:
        table(options)


if __name__ == "__main__":
    main()
