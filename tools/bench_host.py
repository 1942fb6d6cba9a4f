#!/usr/bin/env python3
"""Networks on this processor beside ONNX Runtime: agreement, latency, memory.

    tools/bench_host.py --tandem build/release/python build/networks/*.onnx --write docs/host.md

Each network runs in a process of its own for each program and number of threads; the two take turns
while the other one sleeps, so that both meet the same moments of the machine. Inputs come from the
file NAME.npz beside NAME.onnx. Networks slower than the peer are printed with their profile.

Networks NAME.u8.onnx and NAME.s8.onnx, as tools/quantize_networks.py writes them, are measured by
tools/bench_host_int8.py, and stand in a table of their own. With --state the rows of earlier calls
are kept, so that a machine that is seldom quiet measures one network at a time:

    for model in build/networks/*.onnx; do tools/bench_host.py ... --state rows.json $model; done
    tools/bench_host.py ... --state rows.json --write docs/host.md
"""

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_host_int8
from bench_host_int8 import peak_memory

OURS, PEER, EXACT_PEER = "tandem", "onnxruntime", "onnxruntime-exact"


class Refused(Exception):
    """A program does not take a network; says why."""


# ---- One program in its process ----

class Tandem:
    def __init__(self, tandem_folder, threads):
        sys.path.insert(0, tandem_folder)
        import tandem  # pylint: disable=import-error,import-outside-toplevel
        self.tandem = tandem
        tandem.set_thread_count(threads)

    def load(self, model):
        self.network = self.tandem.load(model)

    def run(self, inputs):
        return self.network.run(inputs, execution="cpu")

    def about(self, inputs):
        measured = self.network.bench(inputs, runs=1)
        return {"operations": measured["operations"],
                "peak": measured["peak_operations_per_second"],
                "instructions": measured["instructions"],
                "version": self.tandem.__version__}

    def profile(self, inputs):
        return self.network.profile(inputs, runs=20)


class OnnxRuntime:
    def __init__(self, threads, exact=False):
        import onnxruntime  # pylint: disable=import-outside-toplevel
        self.onnxruntime = onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.log_severity_level = 3
        if exact:
            self.options.add_session_config_entry("session.x64quantprecision", "1")

    def load(self, model):
        self.session = self.onnxruntime.InferenceSession(
            model, self.options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def run(self, inputs):
        return dict(zip(self.names, self.session.run(self.names, inputs)))

    def about(self, _):
        return {"version": self.onnxruntime.__version__}

    def profile(self, _):
        return []


def work(arguments):
    """Answers the requests on standard input, one JSON object a line."""
    import numpy as np  # pylint: disable=import-outside-toplevel
    engine = (Tandem(arguments.tandem, arguments.threads) if arguments.engine == OURS
              else OnnxRuntime(arguments.threads, arguments.engine == EXACT_PEER))
    with np.load(arguments.inputs) as archive:
        inputs = dict(archive)
    empty = peak_memory()
    engine.load(arguments.models[0])
    outputs = engine.run(inputs)
    for line in sys.stdin:
        request = json.loads(line)
        answer = None
        if request["do"] == "time":
            answer, end = [], time.perf_counter() + request["seconds"]
            while time.perf_counter() < end or len(answer) < 3:
                start = time.perf_counter()
                engine.run(inputs)
                answer.append(time.perf_counter() - start)
        elif request["do"] == "outputs":
            np.savez(request["file"], **outputs)
        elif request["do"] == "memory":
            answer = peak_memory() - empty
        elif request["do"] == "about":
            answer = engine.about(inputs)
        elif request["do"] == "profile":
            answer = engine.profile(inputs)
        print(json.dumps(answer), flush=True)


class Worker:
    """A program that holds one network."""

    def __init__(self, arguments, engine, model, inputs, threads):
        command = [sys.executable, __file__, "--worker", "--engine", engine, "--tandem",
                   arguments.tandem, "--threads", str(threads), "--inputs", str(inputs),
                   str(model)]
        self.errors = tempfile.TemporaryFile("w+")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def ask(self, do, **more):
        answer = ""
        try:
            print(json.dumps({"do": do, **more}), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        if not answer:
            self.errors.seek(0)
            raise Refused(self.errors.read().strip().splitlines()[-1])
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---- A network in both ----

def inputs_of(model, folder):
    """The file of a network's inputs: the one beside it, or one made here."""
    import numpy as np  # pylint: disable=import-outside-toplevel
    beside = model.with_suffix(".npz")
    if beside.exists():
        return beside
    import onnx  # pylint: disable=import-outside-toplevel
    generator, arrays = np.random.default_rng(1), {}
    for port in onnx.load(model, load_external_data=False).graph.input:
        shape = [dim.dim_value or 1 for dim in port.type.tensor_type.shape.dim]
        arrays[port.name] = generator.standard_normal(shape).astype("f4")
    made = Path(folder) / f"{model.stem}.npz"
    np.savez(made, **arrays)
    return made


def greatest_error(ours, peer):
    """The greatest difference of two files of outputs, relative to each one's magnitude."""
    import numpy as np  # pylint: disable=import-outside-toplevel
    worst = 0.0
    with np.load(ours) as a, np.load(peer) as b:
        for name in b.files:
            if a[name].shape != b[name].shape:
                return math.inf
            x, y = a[name].astype("f8"), b[name].astype("f8")
            if not np.array_equal(np.isfinite(x), np.isfinite(y)):
                return math.inf
            x, y = x[np.isfinite(x)], y[np.isfinite(y)]
            if y.size:
                scale = np.abs(y).max() or 1.0
                worst = max(worst, float(np.abs(x - y).max() / scale))
    return worst


def row_of(arguments, model, threads, folder):
    """One network in both programs, or why ours does not take it: a row of the table."""
    try:
        return compare(arguments, model, threads, folder)
    except Refused as reason:
        return {"network": model.stem, "threads": threads, "refused": str(reason).strip()}


def compare(arguments, model, threads, folder):
    inputs = inputs_of(model, folder)
    ours = Worker(arguments, OURS, model, inputs, threads)
    row = {"network": model.stem, "threads": threads, **ours.ask("about")}
    peer = Worker(arguments, PEER, model, inputs, threads)
    row["peer_version"] = peer.ask("about")["version"]
    files = [f"{folder}/ours.npz", f"{folder}/peer.npz"]
    ours.ask("outputs", file=files[0])
    peer.ask("outputs", file=files[1])
    row["error"] = greatest_error(*files)
    row["memory"], row["peer_memory"] = ours.ask("memory"), peer.ask("memory")
    rounds = []
    for _ in range(arguments.rounds):
        pair = []
        for worker in (ours, peer):
            worker.ask("time", seconds=arguments.seconds / 4)  # wakes its threads and caches
            pair.append(statistics.median(worker.ask("time", seconds=arguments.seconds)))
        rounds.append(pair)
    row["seconds"] = statistics.median(pair[0] for pair in rounds)
    row["peer_seconds"] = statistics.median(pair[1] for pair in rounds)
    row["ratio"] = statistics.median(pair[1] / pair[0] for pair in rounds)
    row["share"] = row["operations"] / row["seconds"] / row["peak"]
    if row["ratio"] < 1:
        row["profile"] = ours.ask("profile")
    ours.close()
    peer.close()
    return row


# ---- Quantized networks ----

def is_quantized(model):
    return model.stem.endswith((".u8", ".s8"))


def quantized_rows(arguments, model, folder):
    """The rows of tools/bench_host_int8.py, whose table is another one."""
    if not arguments.quantized:
        raise SystemExit(f"{model} is quantized: say --quantized PROGRAM "
                         "(build/release/bench/tandem_host_quantized)")
    file = Path(folder) / "quantized.json"
    subprocess.run(  # pylint: disable=subprocess-run-check
        [sys.executable, str(Path(__file__).with_name("bench_host_int8.py")), "--program",
         arguments.quantized, "--threads", arguments.threads, "--json", str(file), str(model)],
        check=True, stdout=subprocess.DEVNULL)
    return [{**row, "quantized": True} for row in json.loads(file.read_text())]


# ---- Rows of earlier calls ----

def merged(rows, earlier):
    """Rows of now instead of those of the same network then, in the order of names."""
    names = {row["network"] for row in rows}
    kept = [row for row in earlier if row["network"] not in names]
    return sorted([*kept, *rows], key=lambda row: (row["network"], row["threads"]))


# ---- The report ----

def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values)))


def table_of(rows):
    lines = ["| network | max relative error | threads | ms | ONNX Runtime ms | ratio "
             "| share of peak | MB | ONNX Runtime MB |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        if "refused" in row:
            lines.append(f"| {row['network']} | refused: {row['refused']} |  |  |  |  |  |  |  |")
            continue
        lines.append(
            f"| {row['network']} | {row['error']:.1e} | {row['threads']} "
            f"| {row['seconds'] * 1e3:.2f} | {row['peer_seconds'] * 1e3:.2f} | {row['ratio']:.2f} "
            f"| {row['share']:.0%} | {row['memory'] / 1e6:.0f} | {row['peer_memory'] / 1e6:.0f} |")
    return lines


def summary_of(rows):
    lines = []
    rows = [row for row in rows if "refused" not in row and "quantized" not in row]
    for threads in sorted({row["threads"] for row in rows}):
        ratios = [row["ratio"] for row in rows if row["threads"] == threads]
        lines.append(f"{threads} thread{'s' if threads > 1 else ''}: geometric mean "
                     f"{geometric_mean(ratios):.2f}, least {min(ratios):.2f}, "
                     f"{len(ratios)} networks")
    return lines


def profile_of(row, most=12):
    total = sum(step["seconds"] for step in row["profile"]) or 1
    lines = [f"{row['network']}, {row['threads']} threads, ratio {row['ratio']:.2f}:"]
    for step in sorted(row["profile"], key=lambda step: -step["seconds"])[:most]:
        operators = "+".join([step["op"], *step["followers"]])
        lines.append(f"  {step['seconds'] * 1e3:8.3f} ms {step['seconds'] / total:6.1%}  "
                     f"{step['operations'] / step['seconds'] / 1e9:6.1f} GFLOP/s  {operators} "
                     f"({step['kernel']}) {step['name']}")
    return lines


def quantized_section(rows):
    if not rows:
        return []
    return ["", "### Quantized networks", "",
            "Int8 networks in the QDQ form (tools/quantize_networks.py), beside ONNX Runtime as it "
            "is, and with `session.x64quantprecision`, in which it computes exactly. Ratios are "
            "its time over ours.", "", *bench_host_int8.table_of(rows), "",
            *(f"- {line}" for line in bench_host_int8.summary_of(rows))]


def quantized_profile(row, most=8):
    lines = [f"{row['network']}, {row['threads']} threads, ratios "
             f"{row.get('ratio_default', math.nan):.2f} to default, "
             f"{row.get('ratio_exact', math.nan):.2f} to exact:"]
    total = sum(step["seconds"] for step in row["profile"]) or 1
    for step in row["profile"][:most]:
        rate = step["products"] / step["seconds"]
        lines.append(f"  {step['seconds'] * 1e3:8.3f} ms {step['seconds'] / total:6.1%}  "
                     f"{rate * 1e-9:6.1f} G products/s {rate / row['peak']:4.0%} of the rate  "
                     f"{step['form']} {step['op']} {step['result']} {step['node']}")
    return lines


INTRODUCTION = """# Networks on processors

Written by `make bench-host` (tools/bench_host.py), which replaces the part of the processor that it
runs on and keeps the others; do not edit.

The ratio is ONNX Runtime's time over ours, the median over pairs of turns that follow each other,
so above 1 we are faster; the share is of the fused multiply-adds that the same threads reach on
vectors (tiles may exceed it: there an f32 product is six products of bf16, as exact as f32 sums).
Memory is the process's peak (VmHWM) minus that before the network is read. The error is the
greatest difference relative to the greatest magnitude of an output.
"""


def section_of(all_rows):
    """The title and text of what was measured on this processor."""
    rows = [row for row in all_rows if "quantized" not in row]
    quantized = [row for row in all_rows if "quantized" in row]
    first = next(row for row in rows if "refused" not in row)
    title = f"## {processor()}: {first['instructions']}"
    peer = f"Peer: ONNX Runtime {first['peer_version']}."
    if "avx2_only" in os.environ.get("LD_PRELOAD", ""):
        peer += " AVX-512 and AMX are hidden from both programs (bench/host/avx2_only.cpp)."
    text = [title, "", peer, "", *table_of(rows), ""]
    for line in summary_of(rows):
        text.append(f"- {line}")
    text += quantized_section(quantized)
    losses = [profile_of(row) for row in rows if row.get("ratio", 1) < 1]
    losses += [quantized_profile(row) for row in quantized if row.get("ratio_default", 1) < 1]
    if losses:
        text += ["", "### Where the peer is faster", "", "```"]
        for lines in losses:
            text += lines
        text.append("```")
    return title, "\n".join(text) + "\n"


def document_of(all_rows, earlier):
    """The document with this processor's part instead of the one it had, behind the others'."""
    title, section = section_of(all_rows)
    parts = re.split(r"^(?=## )", earlier, flags=re.MULTILINE)[1:]
    kept = [part.rstrip() + "\n" for part in parts if part.splitlines()[0] != title]
    return "\n".join([INTRODUCTION, *kept, section])


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL.onnx")
    parser.add_argument("--tandem", required=True, metavar="DIR",
                        help="the folder of the Python package, such as build/release/python")
    parser.add_argument("--threads", default="1,2", help="numbers of threads [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each program [%(default)s]")
    parser.add_argument("--seconds", type=float, default=0.4,
                        help="of each turn [%(default)s]")
    parser.add_argument("--write", metavar="FILE.md", help="where the document goes")
    parser.add_argument("--state", metavar="FILE.json", type=Path,
                        help="where all that was measured goes, beside what is there already")
    parser.add_argument("--quantized", metavar="PROGRAM",
                        help="the program that runs quantized networks, such as "
                        "build/release/bench/tandem_host_quantized")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--inputs", help=argparse.SUPPRESS)
    return parser.parse_args()


def rows_of(arguments, model, folder):
    """All rows of a network, printed as they come."""
    if is_quantized(model):
        rows = quantized_rows(arguments, model, folder)
        for row in rows:
            print(f"{row['network']:20} {row['threads']} threads  {row['seconds'] * 1e3:8.2f} ms  "
                  f"ratios {row.get('ratio_default', math.nan):.2f} default "
                  f"{row.get('ratio_exact', math.nan):.2f} exact", flush=True)
        return rows
    rows = []
    for threads in map(int, arguments.threads.split(",")):
        row = row_of(arguments, model, threads, folder)
        rows.append(row)
        if "refused" in row:
            print(f"{row['network']:20} refused: {row['refused']}", flush=True)
            break
        print(f"{row['network']:20} {threads} threads  {row['seconds'] * 1e3:8.2f} ms  "
              f"{row['peer_seconds'] * 1e3:8.2f} ms  ratio {row['ratio']:.2f}  "
              f"share {row['share']:4.0%}  error {row['error']:.1e}  "
              f"{row['memory'] / 1e6:5.0f} MB  {row['peer_memory'] / 1e6:5.0f} MB", flush=True)
        if row["ratio"] < 1:
            print("\n".join(profile_of(row)))
    return rows


def main():
    arguments = parse_arguments()
    if arguments.worker:
        arguments.threads = int(arguments.threads)
        work(arguments)
        return
    state = arguments.state
    rows = json.loads(state.read_text()) if state and state.exists() else []
    if arguments.write and all(map(is_quantized, map(Path, arguments.models))) and \
            all("quantized" in row for row in rows):
        sys.exit("bench_host.py: --write needs a network of floats, which names the processor's "
                 "part; give one, or a --state that has one")
    with tempfile.TemporaryDirectory() as folder:
        for model in map(Path, arguments.models):
            rows = merged(rows_of(arguments, model, folder), rows)
            if state:
                state.write_text(json.dumps(rows, indent=1) + "\n")
    for line in summary_of(rows):
        print(line)
    if arguments.write:
        document = Path(arguments.write)
        earlier = document.read_text() if document.exists() else ""
        document.write_text(document_of(rows, earlier))


if __name__ == "__main__":
    main()
