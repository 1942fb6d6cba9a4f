#!/usr/bin/env bash
# tools/fuzz.sh RUNS JOBS [target...]: fuzzes every target of tests/fuzz (or those named) with RUNS
# inputs each under AddressSanitizer and UndefinedBehaviorSanitizer; tflite_writer, which bytes reach
# only through the reader, gets a tenth of them. New inputs that reach new code are kept in
# build/fuzz/corpus; a crash, hang or leak stops its target with a file that repeats it. JOBS targets
# run at a time.
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
# Speed: no stacks of allocations (a crash file shows them when it is run again), seeds by the plain
# schedule, small inputs.
export ASAN_OPTIONS=malloc_context_size=1

fuzz() {
  local runs=$1 name=$2 kept=build/fuzz/corpus/$2 log=build/fuzz/$2.log
  if [ "$name" = tflite_writer ]; then runs=$((runs / 10)); fi
  mkdir -p "$kept"
  "build/fuzz/tests/fuzz/tandem_${name}_fuzz" -runs="$runs" -seed=1 -print_final_stats=1 \
    -entropic=0 -print_funcs=0 -max_len=2560 -timeout=60 -rss_limit_mb=4096 \
    -artifact_prefix="build/fuzz/$name-" "$kept" "tests/fuzz/corpus/${name%%_*}" 2>"$log" ||
    { echo "fuzz: $name: FAILED" >&2; tail -n 60 "$log" >&2; return 1; }
  { grep -E '^(stat::number_of_executed_units|Done)|share past|inputs are valid' "$log"; } |
    sed "s/^/fuzz: $name: /"
}
export -f fuzz
printf '%s\n' "${names[@]}" | xargs -n 1 -P "$jobs" bash -c 'fuzz "$@"' _ "$runs"
