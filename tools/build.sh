#!/usr/bin/env bash
# tools/build.sh PRESET JOBS TARGET [cmake configure option...]: configures if needed and builds.
# Quiet when nothing changes; the configure log is shown when it fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=$1 jobs=$2 target=$3
shift 3

build=build/$preset
mkdir -p "$build"
if ! cmake --preset "$preset" "$@" >"$build/configure.log" 2>&1; then
  cat "$build/configure.log" >&2
  exit 1
fi
cmake --build "$build" --parallel "$jobs" --target "$target"
