#!/usr/bin/env python3
"""Predicted beside measured latency of whole networks on this processor.

    tools/estimates_host.py --devices build/host --write docs/host_estimates.md \\
        build/networks/*.onnx

For each number of threads `tandem measure` writes a device file FOLDER/THREADS.toml, unless it is
there already; then each network's latency is estimated on it and measured by `tandem run --bench`,
with the sizes of NAME.npz beside it. Writes one table, a part of FILE.md for each processor. What
else runs at the same time is measured too: --measure, --bench and --table do one part each, the
first two with nothing else running. Quantized networks are left out. What was measured lies in
FOLDER and is not measured again.
"""

import argparse
import functools
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx

from bench_host import is_quantized, processor


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


@functools.cache
def symbols_left(program, path):
    """The symbols that a network still has when it is read."""
    done = subprocess.run([program, "show", path, "--json", "--quiet"], check=True,
                          capture_output=True, text=True)
    return {symbol["name"] for symbol in json.loads(done.stdout)["symbols"]}


def bound(options, path):
    """--bind for those symbols that the network still has."""
    sizes = bindings(path)
    names = symbols_left(options.tandem, path) if sizes else ()
    return [argument for name, extent in sizes.items() if name in names
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


def latency(estimate):
    value = estimate["total"]["latency_seconds"]
    return value["value"] if isinstance(value, dict) else value


def table(options):
    lines = ["| network | threads | measured ms | predicted ms | error |",
             "|---|---:|---:|---:|---:|"]
    errors = {}
    for threads in options.threads:
        for path in options.models:
            file = options.devices / f"{path.stem}.{threads}.json"
            estimate = tandem(options, "estimate", path, *bound(options, path), "--device",
                              device_file(options, threads))
            if not file.exists() or estimate is None:
                lines.append(f"| {path.stem} | {threads} | refused | | |")
                continue
            measured = json.loads(file.read_text(encoding="utf-8"))["median_seconds"]
            predicted = latency(estimate)
            error = predicted / measured - 1
            errors.setdefault(threads, []).append(abs(error))
            lines.append(f"| {path.stem} | {threads} | {measured * 1e3:.2f} | "
                         f"{predicted * 1e3:.2f} | {error:+.0%} |")
    lines.append("")
    for threads, values in errors.items():
        lines.append(f"- {threads} thread{'s' if threads > 1 else ''}: {len(values)} networks, "
                     f"median error {statistics.median(values):.0%}, greatest {max(values):.0%}")
    return lines


INTRODUCTION = """# Estimates for processors

Written by tools/estimates_host.py, which replaces the part of the processor that it runs on and
keeps the others; do not edit.

`tandem measure` writes a processor's rates and bandwidths as a device file; `tandem estimate` on it
predicts what `tandem run --bench` then takes, without running the network.
"""


def write(options, lines):
    earlier = options.write.read_text(encoding="utf-8") if options.write.exists() else ""
    title = f"## {processor()}"
    parts = re.split(r"^(?=## )", earlier, flags=re.MULTILINE)[1:]
    kept = [part.rstrip() + "\n" for part in parts if part.splitlines()[0] != title]
    section = "\n".join([title, "", *lines]) + "\n"
    options.write.write_text("\n".join([INTRODUCTION, *kept, section]), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--devices", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--tandem", default="build/release/tandem")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    for part in ("measure", "bench", "table"):
        parser.add_argument(f"--{part}", action="store_true")
    options = parser.parse_args()
    options.models = [path for path in options.models if not is_quantized(path)]
    every = not (options.measure or options.bench or options.table)
    for threads in options.threads:
        if every or options.measure:
            measure(options, threads)
        for path in options.models:
            if every or options.bench:
                bench(options, threads, path)
    if every or options.table:
        lines = table(options)
        print("\n".join(lines))
        if options.write:
            write(options, lines)


if __name__ == "__main__":
    main()
