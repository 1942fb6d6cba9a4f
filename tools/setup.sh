#!/usr/bin/env bash
# Installs what Tandem needs from Debian and PyPI:
# tools/setup.sh [demo|test|bench|networks|quantizers|llm|lint]
#
# demo ⊂ test ⊂ bench ⊂ networks, which adds PyTorch, ⊂ quantizers, the peers of compress; llm adds
# llama.cpp to test, lint the linters. Says nothing and takes no network when all is there. Debian
# packages need root or sudo; Python packages go to .venv in the repository.
set -euo pipefail
export LC_ALL=C.UTF-8

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$repo/.venv

demo_packages=(
  ca-certificates git make g++ cmake ninja-build ccache python3 python3-venv
  libprotobuf-dev protobuf-compiler libtomlplusplus-dev nlohmann-json3-dev libcli11-dev libzip-dev
  libboost-dev libeigen3-dev libflatbuffers-dev flatbuffers-compiler libdnnl-dev libhwy-dev
  gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm verilator
)
test_packages=(
  libgtest-dev libgmock-dev yosys clang-14 libclang-rt-14-dev llvm-14
  gcc-riscv64-unknown-elf qemu-system-misc python3-dev
)
lint_packages=(clang-format-14 shellcheck)

group=${1:-test}
packages=("${demo_packages[@]}")
levels=(demo)
case $group in
  demo) ;;
  test) packages+=("${test_packages[@]}"); levels+=(test) ;;
  bench) packages+=("${test_packages[@]}"); levels+=(test bench) ;;
  networks) packages+=("${test_packages[@]}"); levels+=(test bench networks) ;;
  quantizers) packages+=("${test_packages[@]}"); levels+=(test bench networks quantizers) ;;
  llm) packages+=("${test_packages[@]}"); levels+=(test llm) ;;
  lint) packages+=("${test_packages[@]}" "${lint_packages[@]}"); levels+=(test lint) ;;
  *) echo "setup.sh: no group \"$group\"; the groups are demo, test, bench, networks, quantizers, llm, lint" >&2; exit 2 ;;
esac

fail() {
  printf 'setup.sh: %s\n' "$@" >&2
  exit 1
}

# Runs a command with its output in a log that is shown only when the command fails.
quietly() {
  local what=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    fail "$what failed; its last lines are above"
  fi
  rm -f "$log"
}

missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null |
    sed -n 's/^installed //p') || true
  comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(sort -u <<<"$installed")
}

install_packages() {
  local missing root=()
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    fail "this is not Debian (no apt-get); install what corresponds to: ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      fail "needs root or sudo to install: ${missing[*]}" \
        "as root: apt-get install --no-install-recommends ${missing[*]}"
    root=(sudo)
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  root+=(env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8)
  local options=(-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
  quietly "apt-get update" "${root[@]}" apt-get "${options[@]}" update
  quietly "apt-get install" "${root[@]}" apt-get "${options[@]}" install --yes \
    --no-install-recommends "${missing[@]}"
}

install_python() {
  local level requirements stamp
  for level in "${levels[@]}"; do
    requirements=$repo/tools/requirements/$level.txt
    stamp=$venv/.tandem-$level
    if [ -x "$venv/bin/python" ] && cmp -s "$requirements" "$stamp"; then continue; fi
    echo "Installing the Python packages of tools/requirements/$level.txt into .venv"
    [ -x "$venv/bin/python" ] || quietly "python3 -m venv" /usr/bin/python3 -m venv "$venv"
    # The lists are complete and pinned, so pip has nothing to resolve.
    quietly "pip install" "$venv/bin/python" -m pip install --no-deps --no-input \
      --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$stamp"
  done
}

install_packages
install_python
