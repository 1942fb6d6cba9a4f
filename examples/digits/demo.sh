#!/usr/bin/env bash
# Fits the digits network to a microcontroller and to an FPGA and prints one table: what every
# execution of the two results computes on the held-out images. TANDEM names the program, the first
# argument the folder of results (build/demo).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tandem=${TANDEM:-$here/../../build/release/tandem}
results=${1:-$here/../../build/demo}
mkdir -p "$results"

# Choices are compared on images that the network was trained on, where it errs too rarely: the
# limit is no loss at all there, so that the held-out images lose less than a point.
fit() {
  local device=$1
  shift
  echo "Fitting digits.onnx to $device"
  "$tandem" fit "$here/digits.onnx" --data "npz:$here/digits.npz" --device "$device" \
    --selection 1000 --max-accuracy-drop 0% --samples 200 --output "$results/$device" "$@" \
    >"$results/$device.txt" || { cat "$results/$device.txt"; exit 1; }
}

fit stm32f746 --minimise latency
fit artix7-35t --minimise area
# One network in all executions: the circuit's, as C as well.
"$tandem" compare "$results/artix7-35t/digits.tandem" --data "npz:$here/digits.npz" --limit 200 \
  --executions reference,c,qemu,circuit --json >"$results/compare.json"
exec python3 "$here/demo_table.py" "$results"
