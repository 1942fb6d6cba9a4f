#!/usr/bin/env bash
# tools/lint.sh PRESET JOBS: every check of form. Needs the group lint of tools/setup.sh.
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

format() { files '*.h' '*.cpp' | xargs -r -n 20 -P "$jobs" clang-format-14 --dry-run -Werror; }
shell() { { files '*.sh'; echo .ci/run; } | xargs -r shellcheck; }
python() { files '*.py' | xargs -r .venv/bin/python tools/check_python.py; }
tidy() {
  tools/build.sh "$preset" "$jobs" tandem_generated -D TANDEM_TESTS=ON >/dev/null &&
    .venv/bin/python tools/tidy.py --build "build/$preset" --jobs "$jobs"
}

check "clang-format" format
check "sources" .venv/bin/python tools/check_sources.py
check "shellcheck" shell
check "python" python
check "clang-tidy" tidy

if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: %s: FAILED\n' "${failed[@]}" >&2
  exit 1
fi
