#!/usr/bin/env python3
"""Shows that the test of random modules catches mistakes in the emitters.

Each mutation below changes one line of an emitter in a copy of the tree, builds the test of
random modules there, and runs it. A mutation is caught when the test fails; one that survives, or
that no longer applies to the sources, makes this program fail.

    tools/mutate_emitters.py [--build build/mutation] [--modules 400] [--jobs 2] [--only WORD]
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# (name, file, line as it is, line as it becomes)
MUTATIONS = [
    ("half away from zero forgets the sign", "plan/scalar_code.cpp",
     "value = value + number(half) - sign_bit(value);", "value = value + number(half);"),
    ("half even rounds ties down", "plan/scalar_code.cpp",
     "value = value + number(half - 1) + both(value >> shift, number(1));",
     "value = value + number(half - 1);"),
    ("symmetric saturation keeps the lowest code", "plan/scalar_code.cpp",
     "return clamp(std::move(value), is_signed && bits > 1 ? -held.max : held.min, held.max);",
     "return clamp(std::move(value), held.min, held.max);"),
    ("wrapping extends the wrong sign", "plan/scalar_code.cpp",
     "return {binary_expr(ExprOp::kXor, std::move(low), number(sign)) - number(sign), held};",
     "return {binary_expr(ExprOp::kXor, std::move(low), number(sign)) - number(sign - 1), held};"),
    ("division by zero gives one", "plan/scalar_code.cpp",
     "if (by_zero) rounded = select_expr(equal(given, number(0)), number(0), "
     "local(std::move(rounded)));",
     "if (by_zero) rounded = select_expr(equal(given, number(0)), number(1), "
     "local(std::move(rounded)));"),
    ("the last maximum is the first", "plan/kernel.cpp",
     "binary_expr(last ? ExprOp::kLessEqual : ExprOp::kLess, most, value), \"better\");",
     "binary_expr(last ? ExprOp::kLess : ExprOp::kLess, most, value), \"better\");"),
    ("the greater becomes the lesser", "plan/element_program.cpp",
     "return {op == \"IntMax\" ? select_expr(smaller, y, x) : select_expr(smaller, x, y), "
     "link.range};",
     "return {op == \"IntMax\" ? select_expr(smaller, x, y) : select_expr(smaller, x, y), "
     "link.range};"),
    ("a threshold is passed only from above", "plan/element_program.cpp",
     "return binary_expr(ExprOp::kLessEqual, threshold, value);",
     "return binary_expr(ExprOp::kLess, threshold, value);"),
    ("padding is always zero", "plan/kernel_window.cpp",
     "constant_expr(pad, arithmetic_for({pad, pad}))));",
     "constant_expr(0, arithmetic_for({pad, pad}))));"),
    ("windows start after the end padding", "plan/kernel_window.cpp",
     "position[d + 1] * constant_expr(window.strides[d]) - constant_expr(window.pads_begin[d]);",
     "position[d + 1] * constant_expr(window.strides[d]) - constant_expr(window.pads_end[d]);"),
]


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)


def copy_tree(target):
    """Copies the tracked sources; unchanged files keep their dates, so builds stay incremental."""
    files = run(["git", "ls-files"], cwd=ROOT).stdout.split("\n")
    for name in filter(None, files):
        source, copy = ROOT / name, target / name
        if not source.is_file():
            continue
        if copy.exists() and copy.read_bytes() == source.read_bytes():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)


def build(tree, jobs):
    venv = ROOT / ".venv"
    extra = [f"-DTANDEM_VENV={os.environ.get('TANDEM_VENV', venv)}"]
    configured = run(["cmake", "--preset", "release", "-DTANDEM_TESTS=ON", *extra], cwd=tree)
    if configured.returncode != 0:
        sys.exit(configured.stdout)
    return run(["ninja", "-C", "build/release", f"-j{jobs}", "tandem_verify_slow_tests"], cwd=tree)


def test(tree, modules):
    environment = dict(os.environ, TANDEM_RANDOM_MODULES=str(modules))
    return run(["build/release/tests/tandem_verify_slow_tests", "--gtest_filter=RandomModulesInC*"],
               cwd=tree, env=environment)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=str(ROOT / "build" / "mutation"))
    parser.add_argument("--modules", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="mutations whose name holds this")
    options = parser.parse_args()
    tree = pathlib.Path(options.build)
    copy_tree(tree)
    built = build(tree, options.jobs)
    if built.returncode != 0 or test(tree, options.modules).returncode != 0:
        sys.exit("the unchanged tree does not build or does not pass:\n" + built.stdout[-2000:])
    survivors = 0
    for name, file, line, mutated in MUTATIONS:
        if options.only not in name:
            continue
        path = tree / "src" / "tandem" / file
        text = path.read_text()
        if text.count(line) != 1:
            sys.exit(f"'{name}' does not apply: {file} holds its line {text.count(line)} times")
        path.write_text(text.replace(line, mutated))
        built = build(tree, options.jobs)
        if built.returncode != 0:
            sys.exit(f"'{name}' does not compile:\n{built.stdout[-2000:]}")
        caught = test(tree, options.modules).returncode != 0
        survivors += not caught
        print(f"{'caught  ' if caught else 'SURVIVED'}  {file}: {name}", flush=True)
        path.write_text(text)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
