"""Prints the table of examples/digits/demo.sh from the files that `tandem fit` and `tandem compare`
wrote. Exits 1 where executions differ or a network lost more than one point of accuracy."""

import json
import pathlib
import sys

NAMES = {
    "float": "float, the network as read",
    "recoded": "float with 8-bit or narrower codes",
    "reference": "reference, exact integers",
    "c": "emitted C on this host",
    "qemu": "emitted C under QEMU",
    "circuit": "emitted circuit under Verilator",
}
MOST_LOST = 0.01


def read(path: pathlib.Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def row_of(device: str, result: dict) -> tuple[str, ...]:
    compared, differing = result.get("compared_values"), result.get("differing_values")
    return (device, NAMES[result["execution"]], f"{result['samples']}",
            f"{100 * result['accuracy']:.2f} %",
            "" if compared is None else f"{differing:,} of {compared:,}")


def print_table(rows: list[tuple[str, ...]]) -> None:
    header = ("network for", "execution", "images", "accuracy", "outputs unlike reference")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, tuple("-" * width for width in widths), *rows]:
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    rows, faults = [], []
    for lock in sorted(folder.glob("*/lock.json"), reverse=True):
        device = read(lock)["device"]
        results = read(lock.parent / "verification.json")["executions"]
        accuracy = {result["execution"]: result["accuracy"] for result in results}
        if accuracy["float"] - accuracy["reference"] > MOST_LOST:
            faults.append(f"the network for {device} lost more than one point")
        for result in results:
            rows.append(row_of(device, result))
            if result.get("must_be_equal") and result["differing_values"] != 0:
                faults.append(f"{result['execution']} on {device} differs from the reference")
    print_table(rows)
    pairs = read(folder / "compare.json")["pairs"]
    differing = sum(pair["differing_values"] for pair in pairs)
    names = ["reference"] + [pair["second"] for pair in pairs if pair["first"] == "reference"]
    print(f"one network in {', '.join(names)}: {differing} of "
          f"{sum(pair['compared_values'] for pair in pairs):,} compared output values differ")
    if differing:
        faults.append("executions of one network differ")
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    print(f"Results, with a report.html each, are in {folder.resolve()}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
