"""Measures int8 networks as C on Cortex-M and RV32: the table of docs/microcontrollers.md.

tools/bench_mcu.py [--tandem PROGRAM] [--output FILE] [--check] MODEL.tflite...

For each network and core: `tandem compile` plans, emits, links with GCC 12 -O2 and runs under
QEMU, where every output must equal the reference's. Instructions are those of one run, the
mean over the inputs; the stack is painted, and the deepest run counts. Beside each measured number
stands what the estimate said before anything was built. Two of the networks are then planned for a
device with less and less SRAM. The tables replace what stands between the markers of the document.
Exits 1 where an output differs, a size that is exact by construction does not agree, or
instructions are off by more than 15 %.

A second table sets the modelled time and energy on MLPerf Tiny's reference board beside what was
published for it (mlcommons/tiny_results_v0.5 and _v1.0, closed division, NUCLEO-L4R5ZI at 120 MHz:
medians of performance/results.txt and energy/results.txt).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

BOARDS = {
    "mps2-an386": "Cortex-M4",
    "mps2-an500": "Cortex-M7",
    "mps3-an547": "Cortex-M55",
    "esp32c3": "RV32IMC"
}
BEGINS = ("<!-- measured by make bench-mcu -->\n", "<!-- SRAM, measured by make bench-mcu -->\n")
ENDS = "<!-- end of what was measured -->\n"
SHORT_OF_SRAM = "stm32f746"
LIMITS = {  # bytes of SRAM; half of what the fastest plan needs among them, where something fits
    "pretrainedResnet_quant": (34_000, 24_000, 20_000, 17_080, 16_100, 14_000),
    "vww_96_int8": (40_000, 32_000, 28_000, 24_000),
}
GREATEST_ERROR = 0.15
EXACT = ("arena_bytes", "tables_bytes", "weights_bytes")
INPUTS = 10
PUBLISHED_BOARD = "stm32l4r5"
# Milliseconds and millijoules: the reference (TensorFlow Lite Micro, v0.5), and
# STMicroelectronics' submission (X-CUBE-AI, v1.0).
PUBLISHED = {
    "pretrainedResnet_quant": ((704.3, 29.207), (226.9, 10.682)),
    "kws_ref_model": ((181.9, 7.374), (75.1, 3.372)),
    "vww_96_int8": ((600.5, 24.313), (230.5, 10.067)),
    "ad01_int8": ((10.05, 0.416), (7.58, 0.323)),
}


def weights_and_biases(path: pathlib.Path) -> int:
    """Bytes of the constant operands of matrix products and convolutions in a file."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    graph = model.subgraphs[0]
    total = 0
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D,
                        schema.BuiltinOperator.FULLY_CONNECTED):
            continue
        for tensor in op.inputs[1:3]:
            data = model.buffers[graph.tensors[tensor].buffer].data if tensor >= 0 else None
            total += 0 if data is None else len(data)
    return total


def measure(options: argparse.Namespace, model: pathlib.Path, board: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            options.tandem, "compile",
            str(model), "--device", board, "-o", folder + "/project", "--name", "net", "--samples",
            str(INPUTS), "--machine-samples",
            str(INPUTS), "--quiet"
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        project = pathlib.Path(folder) / "project"
        total = json.loads((project / "estimate.json").read_text(encoding="utf-8"))["total"]
        proof = json.loads((project / "verification.json").read_text(encoding="utf-8"))
    under_qemu = next(e for e in proof["executions"] if e["execution"] == "qemu")
    measured = under_qemu["measured"]
    measured["instructions"] = measured.pop("instructions_per_run")
    return {
        "estimated": {name: figure["value"] for name, figure in total.items()},
        "measured": measured,
        "differing": under_qemu["differing_values"],
        "compared": under_qemu["compared_values"],
        "constants": weights_and_biases(model),
    }


def beside(row: dict, name: str) -> str:
    estimated, measured = row["estimated"][name], row["measured"][name]
    if estimated == measured:
        return f"{measured:,.0f}"
    return f"{estimated:,.0f} / {measured:,.0f} ({100 * (estimated / measured - 1):+.1f} %)"


def above(row: dict) -> float:
    sizes = row["measured"]
    return (sizes["code_bytes"] + sizes["library_bytes"] + sizes["tables_bytes"] +
            sizes["weights_bytes"] - row["constants"])


def table(rows: dict[str, dict]) -> str:
    text = ("| network | instructions | per MAC | code bytes | flash above weights and biases | "
            "arena bytes | lower bound | stack bytes |\n|---|" + "---:|" * 7 + "\n")
    for name, row in rows.items():
        macs = row["estimated"]["multiply_accumulates"]
        text += (f"| {name} | {beside(row, 'instructions')} | "
                 f"{row['measured']['instructions'] / macs:.3f} | {beside(row, 'code_bytes')} | "
                 f"{above(row):,.0f} | {beside(row, 'arena_bytes')} | "
                 f"{row['estimated']['arena_bound_bytes']:,.0f} | "
                 f"{row['measured']['stack_bytes']:,.0f} |\n")
    return text


def with_uncertainty(figure: dict, scale: float) -> str:
    return f"{figure['value'] * scale:.3g} ± {100 * figure['relative_uncertainty']:.0f} %"


def estimate(options: argparse.Namespace, model: pathlib.Path, device: str) -> dict:
    command = [options.tandem, "estimate", str(model), "--device", device, "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)


def published_table(options: argparse.Namespace) -> str:
    """Modelled time and energy on the board of the published results, beside those."""
    text = ("| network | ms, modelled | ms, TFLM | ms, X-CUBE-AI | mJ, modelled | mJ, TFLM | "
            "mJ, X-CUBE-AI |\n|---|" + "---:|" * 6 + "\n")
    for model in options.models:
        total = estimate(options, model, PUBLISHED_BOARD)["total"]
        reference, vendor = PUBLISHED.get(model.stem, (("", ""), ("", "")))
        time = with_uncertainty(total["latency_seconds"], 1e3)
        energy = with_uncertainty(total["energy_joules"], 1e3)
        text += (f"| {model.stem} | {time} | {reference[0]} | {vendor[0]} | {energy} | "
                 f"{reference[1]} | {vendor[1]} |\n")
    return text


def patches(estimated: dict) -> int:
    """The most times that one layer is run for rows of its result."""
    layers = [step["name"].split(" rows ")[0] for step in estimated["steps"]
              if " rows " in step["name"] and not step["name"].endswith(" copied")]
    return max((layers.count(layer) for layer in layers), default=1)


def short_of_sram(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Networks on a device with less SRAM than it has, and what is wrong with that."""
    text = ("| network | SRAM of the device | patches | arena bytes | instructions | code bytes |\n"
            "|---|" + "---:|" * 5 + "\n")
    off = []
    root = pathlib.Path(__file__).resolve().parent.parent / "devices"
    whole = (root / f"{SHORT_OF_SRAM}.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            for limit in LIMITS.get(model.stem, ()):
                print(f"{model.stem} in {limit} bytes", file=sys.stderr, flush=True)
                device = pathlib.Path(folder) / f"{SHORT_OF_SRAM}_{limit}.toml"
                device.write_text(
                    whole.replace("327_680", str(limit)).replace("costs/", f"{root}/costs/"),
                    encoding="utf-8")
                estimated = estimate(options, model, str(device))
                missing = estimated["total"]["sram_bytes"]["value"] - limit
                if missing > 0:
                    text += (f"| {model.stem} | {limit:,} | {missing:,.0f} bytes are missing "
                             "| | | |\n")
                    continue
                row = measure(options, model, str(device))
                off += complaints(device.stem, model.stem, row)
                text += (f"| {model.stem} | {limit:,} | {patches(estimated)} | "
                         f"{beside(row, 'arena_bytes')} | {beside(row, 'instructions')} | "
                         f"{beside(row, 'code_bytes')} |\n")
    return text, off


def complaints(board: str, name: str, row: dict) -> list[str]:
    found = []
    if row["differing"]:
        found.append(f"{row['differing']} of {row['compared']} output values differ")
    found += [
        f"{size}: estimated {row['estimated'][size]:.0f}, measured {row['measured'][size]:.0f}"
        for size in EXACT if row["estimated"][size] != row["measured"][size]
    ]
    error = row["estimated"]["instructions"] / row["measured"]["instructions"] - 1
    if abs(error) > GREATEST_ERROR:
        found.append(f"instructions are estimated {100 * error:+.1f} % off")
    return [f"{name} on {board}: {complaint}" for complaint in found]


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("--tandem", default=str(root / "build/release/tandem"))
    parser.add_argument("--output", type=pathlib.Path, default=root / "docs/microcontrollers.md")
    parser.add_argument("--check", action="store_true", help="print the table, write nothing")
    options = parser.parse_args()
    text, off = "", []
    for board, core in BOARDS.items():
        rows = {}
        for model in options.models:
            print(f"{model.stem} on {board}", file=sys.stderr, flush=True)
            rows[model.stem] = measure(options, model, board)
            off += complaints(board, model.stem, rows[model.stem])
        text += f"{core} (`{board}`):\n\n{table(rows)}\n"
    text += ("Time and energy on MLPerf Tiny's reference board (NUCLEO-L4R5ZI, 120 MHz), modelled, "
             "beside\nwhat was measured there for others:\n\n" + published_table(options) + "\n")
    short, off_there = short_of_sram(options)
    off += off_there
    print(text + short)
    if not options.check:
        document = options.output.read_text(encoding="utf-8")
        for begin, new in zip(BEGINS, (text, short)):
            before, rest = document.split(begin)
            after = rest.split(ENDS, 1)[1]
            document = before + begin + new + ENDS + after
        options.output.write_text(document, encoding="utf-8")
    for complaint in off:
        print(complaint, file=sys.stderr)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
