#!/usr/bin/env bash
# tools/lint.sh PRESET JOBS [tidy]: every check of form; with "tidy" clang-tidy alone, which is not
# clean yet and takes about ten minutes. It reads the compile commands of the preset, which must
# compile file by file (clang, debug). Needs the group lint of tools/setup.sh.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
preset=$1 jobs=$2
failed=()

check() {
  local name=$1
  shift
  if "$@"; then echo "lint: $name: clean"; else failed+=("$name"); fi
}

# Tracked files and new ones, less what git ignores.
files() { git ls-files --cached --others --exclude-standard -- "$@" | sort -u | xargs -r ls -d 2>/dev/null; }

# Prints the named files that clang-format would change.
unformatted() {
  local file
  for file in "$@"; do
    clang-format-14 --dry-run -Werror "$file" 2>/dev/null || echo "$file"
  done
}
export -f unformatted

format() {
  local found
  # shellcheck disable=SC2016  # $@ belongs to the inner shell
  found=$(files '*.h' '*.cpp' | xargs -r -n 20 -P "$jobs" bash -c 'unformatted "$@"' _ | sort)
  [ -z "$found" ] && return 0
  printf 'not formatted (make format):\n%s\n' "$found" >&2
  return 1
}
shell() { { files '*.sh'; echo .ci/run; } | xargs -r shellcheck; }
python() { files '*.py' | xargs -r .venv/bin/python tools/check_python.py; }
tidy() {
  tools/build.sh "$preset" "$jobs" tandem_generated -D TANDEM_TESTS=ON >/dev/null &&
    .venv/bin/python tools/tidy.py --build "build/$preset" --jobs "$jobs"
}

if [ "${3:-}" = tidy ]; then
  check "clang-tidy" tidy
else
  check "clang-format" format
  check "sources" .venv/bin/python tools/check_sources.py
  check "shellcheck" shell
  check "python" python
fi

if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: %s: FAILED\n' "${failed[@]}" >&2
  exit 1
fi
