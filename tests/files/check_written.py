"""Runs what the ONNX writer wrote in onnxruntime and in QONNX's executor.

check_written.py TESTS: the test program TESTS writes every golden graph once more (see
onnx_writer_test.cpp) and the results are compared with those of the original graphs. Exits 77,
which means skipped, where the packages are absent.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import golden_operators
    import golden_qonnx
    import numpy as np
    import onnx
    from golden_archive import read_cases
except ImportError as error:
    print(f"skipped: {error}; tools/setup.sh test installs it")
    sys.exit(77)


def check(name: str, case: str, path: pathlib.Path, tensors: dict[str, dict[str, np.ndarray]],
          tolerance: float) -> list[str]:
    model = onnx.load(path)
    onnx.checker.check_model(model)
    speaks_qonnx = any(node.domain for node in model.graph.node)
    run = golden_qonnx.execute if speaks_qonnx else golden_operators.run
    outputs = run(model, tensors["in"])
    faults = []
    for output, expected in tensors["out"].items():
        computed = outputs[output]
        if computed.shape != expected.shape or \
                not np.isclose(computed, expected, tolerance, tolerance).all():
            faults.append(f"{name}/{case}: output {output} differs")
    return faults


def main() -> int:
    warnings.simplefilter("ignore")
    faults: list[str] = []
    checked = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--gtest_filter=OnnxWriter.*ReadBack"], check=True,
                       stdout=subprocess.DEVNULL, env=os.environ | {"TANDEM_WRITTEN": folder})
        for name, tolerance in (("operators", 2e-6), ("qonnx", 0)):
            for case, tensors in read_cases(name).items():
                path = pathlib.Path(folder) / f"{name}_{case}.onnx"
                if path.exists():  # some are refused, as the test checks
                    checked += 1
                    faults += check(name, case, path, tensors, tolerance)
    print("\n".join(faults))
    print(f"{checked} written graphs, {len(faults)} differ")
    return 1 if faults or checked < 200 else 0


if __name__ == "__main__":
    sys.exit(main())
