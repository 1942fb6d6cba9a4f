#!/usr/bin/env python3
"""Writes minifloats.txt: what PyPI's ml_dtypes makes of every half-precision number.

For each format one line: its name in Tandem, its name there, and the codes of all 65,536 half-
precision numbers in the order of their bit patterns, run by run: "count*code".
"""
import pathlib

import ml_dtypes
import numpy as np

FORMATS = {
    "e4m3": "float8_e4m3fn", "e5m2": "float8_e5m2", "e2m3": "float6_e2m3fn",
    "e3m2": "float6_e3m2fn", "e2m1": "float4_e2m1fn", "e3m4ieee": "float8_e3m4",
    "e4m3ieee": "float8_e4m3", "e4m3fnuz": "float8_e4m3fnuz", "e5m2fnuz": "float8_e5m2fnuz",
    "e4m3b11fnuz": "float8_e4m3b11fnuz",
}


def runs(codes):
    starts = np.flatnonzero(np.diff(codes, prepend=codes[0] + 1))
    lengths = np.diff(np.append(starts, len(codes)))
    return " ".join(f"{length}*{codes[start]}" for start, length in zip(starts, lengths))


def main():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    lines = [f"# ml_dtypes {ml_dtypes.__version__}, by make_minifloats.py"]
    for name, other in FORMATS.items():
        with np.errstate(all="ignore"):
            codes = halves.astype(getattr(ml_dtypes, other)).view(np.uint8).astype(int)
        lines.append(f"{name} {other} {runs(codes)}")
    (pathlib.Path(__file__).parent / "minifloats.txt").write_text("\n".join(lines) + "\n")


main()
