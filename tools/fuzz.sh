#!/usr/bin/env bash
# tools/fuzz.sh RUNS JOBS [target...]: fuzzes every target of tests/fuzz (or those named) with RUNS
# inputs each under AddressSanitizer and UndefinedBehaviorSanitizer. New inputs that reach new code
# are kept in build/fuzz/corpus; a crash stops with its file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=$1 jobs=$2
shift 2

tools/build.sh fuzz "$jobs" tandem_fuzzers -D TANDEM_TESTS=ON
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cpp; do
    name=$(basename "$source" _fuzz.cpp)
    names+=("$name")
  done
fi
export ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-14
for name in "${names[@]}"; do
  kept=build/fuzz/corpus/$name
  mkdir -p "$kept"
  echo "fuzz: $name"
  "build/fuzz/tests/fuzz/tandem_${name}_fuzz" -runs="$runs" -seed=1 -print_final_stats=1 \
    -max_len=65536 -timeout=20 -rss_limit_mb=4096 -artifact_prefix="build/fuzz/$name-" \
    "$kept" "tests/fuzz/corpus/$name" 2>"build/fuzz/$name.log" ||
    { tail -n 60 "build/fuzz/$name.log" >&2; exit 1; }
  grep -E '^(stat::number_of_executed_units|Done)' "build/fuzz/$name.log"
done
