#!/usr/bin/env python3
"""Peak memory of `tandem compress` for few and for many calibration samples.

    tools/calibration_memory.py build/networks/resnet50.onnx [--samples 32 3200] [--size 64]

Writes an .npz of seeded noise in the shape of the network's input, quantizes the network by the
first so many of its samples, and prints the peak resident memory of each run (the kernel's
ru_maxrss) and its time. Exit code 1 where they are more than 5 % apart. --size gives images another
height and width, for networks whose pooling takes any, so that many samples take minutes. Options
behind -- go to `tandem compress`, such as --rounding gptq.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parent.parent


def write_noise(path, count, shape):
    """An .npz with `train_images`, uint8 [count, ...], written in pieces."""
    random = np.random.default_rng(1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("train_images.npy", "w", force_zip64=True) as array:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(array, header)
            for _ in range(count):
                array.write(random.integers(0, 256, shape, np.uint8).tobytes())


def run(command):
    """Peak bytes and seconds of a child."""
    start = time.perf_counter()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed with status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024, time.perf_counter() - start


def main():
    own, _, passed = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tandem", type=Path, default=ROOT / "build" / "release" / "tandem")
    parser.add_argument("--samples", type=int, nargs=2, default=[32, 3200])
    parser.add_argument("--size", type=int, help="height and width of images")
    arguments = parser.parse_args(own.split())
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        data, model = Path(folder) / "noise.npz", Path(folder) / "network.onnx"
        network = onnx.load(arguments.model)
        dims = network.graph.input[0].type.tensor_type.shape.dim
        if arguments.size:
            del network.graph.value_info[:]
            dims[2].dim_value = dims[3].dim_value = arguments.size
        onnx.save(network, model)
        shape = [dim.dim_value for dim in dims[1:]]
        write_noise(data, max(arguments.samples), shape)
        for count in arguments.samples:
            peak, seconds = run([
                arguments.tandem, "compress", model, "--data", f"npz:{data}",
                "--preprocess", "scale=0.0172 offset=-2.2", "--calibration", count, "--selection",
                0, "--skip-accuracy", "-o", Path(folder) / "out.tandem", *passed.split()])
            peaks.append(peak)
            print(f"{count} samples: {peak / 2**20:.1f} MiB at most, {seconds:.1f} s", flush=True)
    apart = max(peaks) / min(peaks) - 1
    print(f"{100 * apart:.1f} % apart")
    return 0 if apart <= 0.05 else 1


if __name__ == "__main__":
    sys.exit(main())
