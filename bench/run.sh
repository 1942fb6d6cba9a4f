#!/usr/bin/env bash
# bench/run.sh PRESET: what Tandem computes and estimates beside what others do. Needs the programs
# of bench/estimates and the group bench of tools/setup.sh. Runs everything, then fails where
# anything differs by more than it may.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
build=build/$1
python=.venv/bin/python
failed=0

echo "== Estimates beside linker, QEMU, Verilator and Yosys (docs/estimates.md)"
"$python" tools/estimates.py --programs "$build/bench" || failed=1

models=${TANDEM_DATA:-../shared/data}/models/qonnx
echo "== QONNX networks beside the executor of PyPI's qonnx"
if [ -d "$models" ]; then
  "$python" tools/compare_qonnx.py --tandem "$build/tandem" "$models"/*.onnx || failed=1
else
  echo "skipped: no $models (TANDEM_DATA names the folder of shared data)"
fi

models=${TANDEM_DATA:-../shared/data}/models/mlperf_tiny
echo "== MLPerf Tiny's TensorFlow Lite models beside PyPI's tflite-micro and ai-edge-litert"
if [ -d "$models" ]; then
  "$python" tools/compare_tflite.py --tandem "$build/tandem" "$models"/*.tflite || failed=1
else
  echo "skipped: no $models (TANDEM_DATA names the folder of shared data)"
fi
exit $failed
