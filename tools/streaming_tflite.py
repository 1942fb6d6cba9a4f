"""Writes a streaming TensorFlow Lite model and compares its executions call by call.

tools/streaming_tflite.py MODEL.tflite [--calls N] [--seed S] [--tandem PROGRAM] [--executions LIST]

The model is tests/files/tflite_streams.py's keyword spotter: int8, one frame of features per call,
a convolution over a window of frames, a fully connected head, and three states in resource
variables. N random calls of one stream run through Tandem's executions, PyPI's tflite-micro (the
authority) and ai-edge-litert's reference kernels. Exits 1 where a code of Tandem's differs from the
authority's.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "files"))
# pylint: disable=wrong-import-position
from tflite_streams import keyword_spotter  # noqa: E402
from tflite_streams_run import run_litert, run_micro  # noqa: E402


def run_tandem(options: argparse.Namespace, execution: str, frames: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        given, computed = pathlib.Path(folder, "in.npz"), pathlib.Path(folder, "out.npz")
        np.savez(given, x0=frames)
        command = [
            options.tandem, "run",
            str(options.model), "--input",
            str(given), "--output",
            str(computed), "--execution", execution
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        with np.load(computed) as outputs:
            return next(outputs[key] for key in outputs.files if key.endswith(".codes"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, metavar="MODEL")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tandem", default="build/release/tandem")
    parser.add_argument("--executions", default="reference,cpu,c,qemu")
    options = parser.parse_args()
    data = keyword_spotter()
    options.model.write_bytes(data)
    random = np.random.default_rng(options.seed)
    frames = random.integers(-128, 127, [options.calls, 1, 1, 10], np.int8, endpoint=True)
    authority = run_micro(data, [frames])[0]
    wrong = 0
    for execution in options.executions.split(","):
        codes = run_tandem(options, execution, frames).reshape(authority.shape)
        differing = int((codes != authority).sum())
        wrong += differing
        print(f"tandem {execution}: {differing} of {authority.size} codes differ from tflite-micro")
    litert = run_litert(data, [frames])[0]
    differing = int((litert != authority).sum())
    print(f"ai-edge-litert, reference: {differing} of {authority.size} codes differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
