#!/usr/bin/env bash
# tools/lint.sh JOBS [CHECK...]: all checks, or only those named: format, sources, shell, python,
# tidy. Needs the group lint of tools/setup.sh.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
jobs=${1:-}
shift
case $jobs in
  '' | *[!0-9]*)
    echo "usage: tools/lint.sh JOBS [format|sources|shell|python|tidy ...]" >&2
    exit 2
    ;;
esac

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

check_format() {
  local found
  # shellcheck disable=SC2016  # $@ belongs to the inner shell
  found=$(files '*.h' '*.cpp' | xargs -r -n 20 -P "$jobs" bash -c 'unformatted "$@"' _ | sort)
  [ -z "$found" ] && return 0
  printf 'not formatted (make format):\n%s\n' "$found" >&2
  return 1
}
check_shell() { { files '*.sh'; echo .ci/run; } | xargs -r shellcheck; }
check_sources() { .venv/bin/python tools/check_sources.py; }
check_python() { files '*.py' | xargs -r .venv/bin/python tools/check_python.py; }
# Reads the compile commands of the preset clang, which compiles file by file.
check_tidy() {
  tools/build.sh clang "$jobs" tandem_generated -D TANDEM_TESTS=ON >/dev/null &&
    .venv/bin/python tools/tidy.py --build build/clang --jobs "$jobs"
}

failed=()
[ $# -gt 0 ] || set -- format sources shell python tidy
for name in "$@"; do
  if "check_$name"; then echo "lint: $name: clean"; else failed+=("$name"); fi
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: %s: FAILED\n' "${failed[@]}" >&2
  exit 1
fi
