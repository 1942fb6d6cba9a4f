#!/usr/bin/env python3
"""Quantized networks on this processor beside ONNX Runtime: latency and differing results.

    tools/quantize_networks.py build/networks build/networks/*.onnx
    tools/bench_host_int8.py --program build/release/bench/tandem_host_quantized \\
        build/networks/*8.onnx

ONNX Runtime runs in its default and in its exact mode (session.x64quantprecision), each program in
a process of its own; they take turns while the others sleep. Where the exact mode fails to load a
network, that is said. Differing results are elements of the network's outputs; what is right is
what tools/compare_int8.py says. The longest steps are printed with their products a second and the
share of what the instruction set can make at most (AMX counts in VNNI's).
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEERS = {"default": "", "exact": "1"}


def peak_memory():
    """The most resident memory that this process ever had, in bytes (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no VmHWM")


def serve_peer(model, inputs, threads, mode):
    """Answers time SECONDS, memory and outputs FILE on standard input, as the program does."""
    import numpy as np  # pylint: disable=import-outside-toplevel
    import onnxruntime  # pylint: disable=import-outside-toplevel

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if PEERS[mode]:
        options.add_session_config_entry("session.x64quantprecision", PEERS[mode])
    with np.load(inputs) as archive:
        arrays = dict(archive)
    empty = peak_memory()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for line in sys.stdin:
        request, argument = (*line.split(), "")[:2]
        answer = None
        if request == "time":
            answer, end = [], time.perf_counter() + float(argument)
            while time.perf_counter() < end or len(answer) < 3:
                start = time.perf_counter()
                session.run(None, arrays)
                answer.append(time.perf_counter() - start)
        elif request == "memory":
            answer = peak_memory() - empty
        elif request == "outputs":
            names = [output.name for output in session.get_outputs()]
            np.savez(argument, **dict(zip(names, session.run(names, arrays))))
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that holds one network; `failed` where it could not load it."""

    def __init__(self, command):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True)
        self.failed = self.ask("time 0") is None

    def ask(self, request):
        try:
            print(request, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return None
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else None

    def median(self, seconds):
        self.ask(f"time {seconds / 4}")  # wakes its threads and caches
        return statistics.median(self.ask(f"time {seconds}"))

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()


def write_inputs(model, file):
    """Normal noise for every input."""
    import numpy as np  # pylint: disable=import-outside-toplevel
    import onnx  # pylint: disable=import-outside-toplevel

    random, arrays = np.random.default_rng(1), {}
    for port in onnx.load(model, load_external_data=False).graph.input:
        shape = [dim.dim_value or 1 for dim in port.type.tensor_type.shape.dim]
        arrays[port.name] = random.standard_normal(shape).astype("f4")
    np.savez(file, **arrays)


def differing(ours, peers):
    """Differing elements of two files of outputs, and the number of all."""
    import numpy as np  # pylint: disable=import-outside-toplevel

    count = total = 0
    with np.load(ours) as a, np.load(peers) as b:
        for name in b.files:
            x, y = a[name].reshape(b[name].shape), b[name]
            count += int((np.abs(x - y) > 1e-6 * np.abs(y).max()).sum())
            total += y.size
    return count, total


def measure(arguments, model, threads, folder):
    inputs = os.path.join(folder, "inputs.npz")
    write_inputs(model, inputs)
    ours = Worker([arguments.program, str(model), inputs, str(threads), *arguments.instructions])
    if ours.failed:
        raise SystemExit(f"{arguments.program} failed on {model}")
    peers = {mode: Worker([sys.executable, __file__, "--peer", mode, "--threads", str(threads),
                           "--inputs", inputs, str(model)]) for mode in PEERS}
    row = {"network": model.stem, "threads": threads, **ours.ask("about")}
    files = {mode: os.path.join(folder, f"{mode}.npz") for mode in ("ours", *PEERS)}
    ours.ask(f"outputs {files['ours']}")
    for mode, peer in peers.items():
        if not peer.failed:
            peer.ask(f"outputs {files[mode]}")
            row[f"differing_{mode}"], row["results"] = differing(files["ours"], files[mode])
    row["memory"] = ours.ask("memory")
    for mode, peer in peers.items():
        if not peer.failed:
            row[f"memory_{mode}"] = peer.ask("memory")
    rounds = []
    for _ in range(arguments.rounds):
        times = {"ours": ours.median(arguments.seconds)}
        for mode, peer in peers.items():
            if not peer.failed:
                times[mode] = peer.median(arguments.seconds)
        rounds.append(times)
    row["seconds"] = statistics.median(times["ours"] for times in rounds)
    for mode, peer in peers.items():
        if not peer.failed:
            row[f"seconds_{mode}"] = statistics.median(times[mode] for times in rounds)
            ratios = [times[mode] / times["ours"] for times in rounds]
            row[f"ratio_{mode}"] = statistics.median(ratios)
    row["profile"] = ours.ask("profile")
    for worker in (ours, *peers.values()):
        worker.close()
    return row


def milliseconds(row, key):
    return f"{row[key] * 1e3:.2f}" if key in row else "fails"


def megabytes(row, key):
    return f"{row[key] / 1e6:.0f}" if key in row else "-"


def table_of(rows):
    lines = ["| network | instructions | threads | ms | ONNX Runtime default ms | exact ms "
             "| ratio to default | ratio to exact | results that differ from default "
             "| from exact | MB | default MB | exact MB |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        ratios = [f"{row[f'ratio_{mode}']:.2f}" if f"ratio_{mode}" in row else "-"
                  for mode in PEERS]
        counts = [f"{row[f'differing_{mode}']} of {row['results']}"
                  if f"differing_{mode}" in row else "-" for mode in PEERS]
        lines.append(" | ".join([
            f"| {row['network']}", row["instructions"], str(row["threads"]),
            milliseconds(row, "seconds"), milliseconds(row, "seconds_default"),
            milliseconds(row, "seconds_exact"), *ratios, *counts,
            *(megabytes(row, key) for key in ("memory", "memory_default", "memory_exact"))]) + " |")
    return lines


def summary_of(rows):
    lines = []
    for threads in sorted({row["threads"] for row in rows}):
        for mode in PEERS:
            ratios = [row[f"ratio_{mode}"] for row in rows
                      if row["threads"] == threads and f"ratio_{mode}" in row]
            if ratios:
                mean = math.exp(statistics.fmean(map(math.log, ratios)))
                lines.append(f"{threads} threads, {mode}: geometric mean {mean:.2f}, least "
                             f"{min(ratios):.2f}, {len(ratios)} networks")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--program", help="build/release/bench/tandem_host_quantized")
    parser.add_argument("--instructions", nargs=1, default=[], metavar="SET",
                        help="what our kernels may use: portable, avx2, vnni, amx")
    parser.add_argument("--threads", default="1,2", help="numbers of threads [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each [%(default)s]")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn [%(default)s]")
    parser.add_argument("--steps", type=int, default=8,
                        help="the longest steps of ours that are printed [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="where all that was measured goes")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--inputs", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        serve_peer(str(arguments.models[0]), arguments.inputs, int(arguments.threads),
                   arguments.peer)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            for threads in map(int, arguments.threads.split(",")):
                rows.append(measure(arguments, model, threads, folder))
                print(table_of(rows)[-1], flush=True)
                if arguments.json:
                    arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    print("\n".join(["", *table_of(rows), "", *summary_of(rows)]))
    for row in rows:
        for step in row.get("profile", [])[:arguments.steps]:
            rate = step["products"] / step["seconds"]
            share = f"{rate * 1e-9:6.1f} G/s {rate / row['peak']:4.0%}" if rate else " " * 15
            print(f"{row['network']} {row['threads']}: {step['seconds'] * 1e6:8.1f} us {share} "
                  f"{step['form']} {step['op']} {step['result']} {step['node']}")


if __name__ == "__main__":
    main()
