"""Compares estimates with the truth and writes the table of docs/estimates.md.

tools/estimates.py [--programs FOLDER] [--output FILE] [--reuse] [--only KIND]

Runs the programs tandem_KIND_truth of the folder (bench/estimates), each of which prints one line
of JSON for each network, device, plan and quantity: what was estimated before anything was built,
and what the linker, QEMU, Verilator or Yosys say. The lines are kept beside the programs, in
tandem_*_truth.jsonl; --reuse takes those of an earlier run, as circuits take hours, and --only mcu
measures one kind and keeps the other sections of the document. Exits 1 where
an estimate is off by more than LIMITS allow; a quantity that is not listed there must be exact.
"""

import argparse
import json
import pathlib
import subprocess
import sys

# The greatest relative error of what is modelled. Sizes of arrays and cycles of circuits are
# derived from what is emitted, so they are exact.
LIMITS = {"code_bytes": 0.20, "instructions": 0.25, "luts": 0.35, "flip_flops": 0.35, "brams": 0.35,
          "dsps": 0.35}

INTRODUCTION = """# Estimates and the truth

Written by `make estimates`, which builds and runs everything that is emitted for each network; the
estimates themselves start no compiler, simulator or synthesis. A cell with one number is an
estimate that is exact; others say *estimated / measured (error)*. The costs behind the estimates
are fitted to generated layers (`bench/cost`), never to the networks below.

"""
SECTIONS = {
    "mcu": """## C on microcontrollers

Bytes are those of the linker's map (GCC 12 `-O2`), instructions are those that QEMU
executes in one run (`-icount`, mean of ten random inputs). A plan is named after what its forms
were chosen for; plans that came out equal are listed once.
""",
    "circuit": """## Circuits

Latency and interval are cycles of the circuit under Verilator, from the first input word to the
last output word and from frame to frame; areas are those of Yosys (`synth_xilinx`). A plan is a
folding.
""",
}


def relative_error(row: dict) -> float:
    if row["measured"] == row["predicted"]:
        return 0.0
    return row["predicted"] / row["measured"] - 1 if row["measured"] else float("inf")


def measure(program: pathlib.Path, reuse: bool) -> list[dict]:
    kept = program.with_name(program.name + ".jsonl")
    if not reuse or not kept.exists():
        print(f"running {program.name}", file=sys.stderr, flush=True)
        done = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{program}: exit code {done.returncode}")
        kept.write_text(done.stdout, encoding="utf-8")
    rows = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise SystemExit(f"{program} printed nothing")
    return rows


def cell(row: dict | None) -> str:
    if row is None:
        return ""
    estimated, measured = f"{row['predicted']:,.0f}", f"{row['measured']:,.0f}"
    error = relative_error(row)
    return estimated if error == 0 else f"{estimated} / {measured} ({100 * error:+.1f} %)"


def table(rows: list[dict]) -> str:
    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    lines: dict[tuple[str, str, str], dict[str, dict]] = {}
    for row in rows:
        key = (row["network"], row["device"], row["plan"])
        lines.setdefault(key, {})[row["quantity"]] = row
    names = [quantity.replace("_", " ") for quantity in quantities]
    text = f"| network | device | plan | {' | '.join(names)} |\n"
    text += "|---|---|---|" + "---:|" * len(quantities) + "\n"
    for key, cells in lines.items():
        text += f"| {' | '.join([*key, *(cell(cells.get(q)) for q in quantities)])} |\n"
    return text


def summary(rows: list[dict]) -> str:
    text = "\n| quantity | estimates | exact | mean error | greatest error | allowed |\n"
    text += "|---|---:|---:|---:|---:|---:|\n"
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        errors = [abs(relative_error(row)) for row in rows if row["quantity"] == quantity]
        allowed = f"{100 * LIMITS[quantity]:.0f} %" if quantity in LIMITS else "exact"
        exact = sum(error == 0 for error in errors)
        text += (f"| {quantity.replace('_', ' ')} | {len(errors)} | {exact} | "
                 f"{100 * sum(errors) / len(errors):.1f} % | {100 * max(errors):.1f} % | "
                 f"{allowed} |\n")
    return text


def section_of(document: str, kind: str) -> str:
    """The section of a kind in an earlier document, with its heading."""
    heading = SECTIONS[kind].splitlines()[0]
    if heading not in document:
        raise SystemExit(f"the document has no section '{heading}'; run without --only")
    return heading + document.split(heading)[1].split("\n## ")[0].rstrip("\n") + "\n\n"


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, default=root / "build/release/bench")
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--only", choices=sorted(SECTIONS), help="measure this kind alone")
    parser.add_argument("--output", type=pathlib.Path, default=root / "docs/estimates.md")
    options = parser.parse_args()
    text, off = INTRODUCTION, []
    for kind, heading in SECTIONS.items():
        if options.only not in (None, kind):
            text += section_of(options.output.read_text(encoding="utf-8"), kind)
            continue
        program = options.programs / f"tandem_{kind}_truth"
        if not program.exists():
            raise SystemExit(f"no program {program}; make estimates builds it")
        rows = measure(program, options.reuse)
        text += f"{heading}\n{table(rows)}{summary(rows)}\n"
        off += [row for row in rows if abs(relative_error(row)) > LIMITS.get(row["quantity"], 0)]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    print(text)
    for row in off:
        print(f"beyond its limit: {row['network']} on {row['device']}, {row['plan']}: "
              f"{row['quantity']} {cell(row)}", file=sys.stderr)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
