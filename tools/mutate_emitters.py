#!/usr/bin/env python3
"""Shows that the tests of random modules catch mistakes in the emitters of C and of circuits, in
plans in patches and in states that are kept from run to run.

Each mutation below changes one line of an emitter (or of the plan that it prints) in a copy of the
tree, builds the test of that target there, and runs it. A mutation is caught when the test fails;
one that survives, or that no longer applies to the sources, makes this program fail.

    tools/mutate_emitters.py [--build build/mutation] [--modules 400] [--jobs 2]
                             [--target c|patches|states|circuit] [--only WORD]
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Of each target: (name, file, line as it is, line as it becomes)
C_MUTATIONS = [
    ("half away from zero forgets the sign", "plan/scalar_code.cpp",
     "value = value + number(half) - sign_bit(value);", "value = value + number(half);"),
    ("half even rounds ties down", "plan/scalar_code.cpp",
     "value = value + number(half - 1) + both(value >> shift, number(1));",
     "value = value + number(half - 1);"),
    ("symmetric saturation keeps the lowest code", "plan/scalar_code.cpp",
     "const IntegerRange held = kept_range(integer_range(bits, is_signed), overflow);",
     "const IntegerRange held = integer_range(bits, is_signed);"),
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
    ("results lie a byte too near to what is still read", "plan/overlap_distance.cpp",
     "distance = std::max(distance, written_[k] - low);",
     "distance = std::max(distance, written_[k] - low - 1);"),
    ("the last step overwrites the outputs that it reads", "plan/mcu_plan.cpp",
     "is_output ? plan_.steps.size() : buffer.last_step", "buffer.last_step"),
]

PATCH_MUTATIONS = [
    ("rows of padding are forgotten", "plan/patches.cpp",
     "std::max<std::int64_t>(-begin, 0),", "0,"),
    ("a patch reads a row too few", "plan/patches.cpp",
     "const std::int64_t end = (result.end - 1) * window.strides[0]",
     "const std::int64_t end = (result.end - 2) * window.strides[0]"),
    ("the first of two readers says which rows are held", "plan/patches.cpp",
     "return {std::min(a.begin, b.begin), std::max(a.end, b.end)};",
     "return {a.begin, std::max(a.end, b.end)};"),
    ("rows lie where those of the first patch lie", "plan/mcu_plan.cpp",
     "if (start > 0) step.starts[buffer] = start;",
     "if (start > stage.row_bytes.at(value)) step.starts[buffer] = start;"),
    ("the first rows are kept instead of the last ones", "plan/mcu_plan.cpp",
     "if (keeps) set_start(step, read, stage, to.value, run.rows->begin);", ""),
    ("rows are kept before they are computed", "plan/mcu_tasks.cpp",
     "std::find_if(task.runs.rbegin(), std::make_reverse_iterator(begin), uses).base();",
     "first_use;"),
    ("a patch overwrites what the next one reads", "plan/mcu_tasks.cpp",
     "distance = std::max(distance, written.end * row - rows->second.begin * read_row);",
     "distance = std::max(distance, written.begin * row - rows->second.begin * read_row);"),
    ("rows that are moved may not share bytes", "emit/c_printer.cpp",
     "s.kind == StatementKind::kCopy ? \"(void)memcpy(\" : \"(void)memmove(\",",
     "\"(void)memcpy(\","),
]

STATE_MUTATIONS = [
    ("a state is written over while it is read", "plan/kept_states.cpp",
     "overlap.written == to && overlap.bytes <= 0;", "overlap.written == to;"),
    ("a state is written before another step reads it", "plan/smallest_order.cpp",
     "after.insert(after.end(), kept.readers.begin(), kept.readers.end());",
     "after.insert(after.end(), kept.readers.begin(), kept.readers.begin());"),
    ("a state that is an output is written over", "plan/kept_states.cpp",
     "if (times_at_end(kept.read) != 0) return;", ""),
    ("states that wait for each other are not set aside", "plan/mcu_plan.cpp",
     "std::ranges::count(waiting, states_[i].read, source) == 0;",
     "std::ranges::count(waiting, states_[i].read, source) < 2;"),
    ("every run starts a new stream", "emit/c_target.cpp",
     "\"_states.is_set = 1;\\n}\\n\\n\");", "\"_states.is_set = 0;\\n}\\n\\n\");"),
]

CIRCUIT_MUTATIONS = [
    ("half even rounds ties to odd", "emit/verilog_maps.cpp",
     "case Rounding::kHalfEven: return concat(half, \" & (\", sticky, \" | \", odd, \")\");",
     "case Rounding::kHalfEven: return concat(half, \" & (\", sticky, \" | ~\", odd, \")\");"),
    ("symmetric saturation keeps the lowest code", "emit/verilog_maps.cpp",
     "const bool symmetric = held.min != format.integer_range().min;",
     "const bool symmetric = false;"),
    ("a threshold is passed only from above", "emit/verilog_maps.cpp",
     "text += concat(\"  wire met_\", level, \" = x_\", level, \" >= limit_\", level, "
     "\";\\n  logic \",",
     "text += concat(\"  wire met_\", level, \" = x_\", level, \" > limit_\", level, "
     "\";\\n  logic \","),
    ("bipolar inputs add the sum of weights", "emit/verilog_lane.cpp",
     "start += is_bipolar(right) ? -1 : -weight;", "start += is_bipolar(right) ? -1 : weight;"),
    ("the sign bit of a factor adds", "emit/verilog_lane.cpp",
     "const bool takes_away = bits_of.is_signed() && i + 1 == bits_of.bits();",
     "const bool takes_away = false;"),
    ("the last maximum is the first", "emit/verilog_lane.cpp",
     "sum.name, stage_.select_last ? \" >= \" : \" > \", \"best;\\n\",",
     "sum.name, stage_.select_last ? \" > \" : \" > \", \"best;\\n\","),
    ("division rounds ties up instead of to even", "emit/verilog_stages.cpp",
     "case Rounding::kHalfEven: return \"more | (tie & quotient[0])\";",
     "case Rounding::kHalfEven: return \"more | tie\";"),
    ("a FIFO of two forgets its spare beat", "emit/verilog_memory.cpp",
     "\"    if (in_ready) spare <= in_data;\\n\"", "\"    if (load) spare <= in_data;\\n\""),
    ("a narrowed beat is taken while its reader stalls", "emit/verilog_memory.cpp",
     "\"  assign in_ready = out_ready & last;\\n\"", "\"  assign in_ready = last;\\n\""),
    ("padding is always zero", "plan/pipeline_builder.cpp",
     "move.fill = feed.fill;", "move.fill = 0;"),
    ("a store is overwritten a word too early", "plan/nest.cpp",
     "release.start = nest.base;", "release.start = nest.base + 1;"),
]


class Target:
    """What is mutated for a target and which test must notice."""

    def __init__(self, mutations, tests, variable, share=1):
        self.mutations, self.variable = mutations, variable
        self.tests = tests  # filters by program, the quickest first
        self.share = share  # one in so many modules, as circuits take long to compile


QUICK, SLOW = "tandem_verify_tests", "tandem_verify_slow_tests"
TARGETS = {
    "c": Target(C_MUTATIONS, {SLOW: "RandomModulesInC.*"}, "TANDEM_RANDOM_MODULES"),
    "patches": Target(PATCH_MUTATIONS, {QUICK: "Patches.*"}, "TANDEM_RANDOM_MODULES"),
    "states": Target(STATE_MUTATIONS, {QUICK: "Streams.*", SLOW: "RandomModulesInC.KeepStates*"},
                     "TANDEM_RANDOM_MODULES"),
    "circuit": Target(CIRCUIT_MUTATIONS,
                      {QUICK: "Circuit.*", SLOW: "RandomModulesInCircuits.*"},
                      "TANDEM_RANDOM_CIRCUITS", share=4),
}


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


def build(tree, jobs, programs):
    venv = ROOT / ".venv"
    extra = [f"-DTANDEM_VENV={os.environ.get('TANDEM_VENV', venv)}"]
    configured = run(["cmake", "--preset", "release", "-DTANDEM_TESTS=ON", *extra], cwd=tree)
    if configured.returncode != 0:
        sys.exit(configured.stdout)
    return run(["ninja", "-C", "build/release", f"-j{jobs}", *programs], cwd=tree)


def passes(tree, target, modules):
    environment = dict(os.environ, **{target.variable: str(modules // target.share)})
    return all(run([f"build/release/tests/{program}", f"--gtest_filter={tests}"], cwd=tree,
                   env=environment).returncode == 0 for program, tests in target.tests.items())


def is_caught(tree, target, mutation, options):
    name, file, line, mutated = mutation
    path = tree / "src" / "tandem" / file
    text = path.read_text()
    if text.count(line) != 1:
        sys.exit(f"'{name}' does not apply: {file} holds its line {text.count(line)} times")
    path.write_text(text.replace(line, mutated))
    try:
        built = build(tree, options.jobs, target.tests)
        if built.returncode != 0:
            sys.exit(f"'{name}' does not compile:\n{built.stdout[-2000:]}")
        return not passes(tree, target, options.modules)
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=str(ROOT / "build" / "mutation"))
    parser.add_argument("--modules", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--target", choices=TARGETS, help="only this one's emitter")
    parser.add_argument("--only", default="", help="mutations whose name holds this")
    options = parser.parse_args()
    targets = {name: target for name, target in TARGETS.items()
               if options.target in (None, name)}
    tree = pathlib.Path(options.build)
    copy_tree(tree)
    programs = sorted({program for target in targets.values() for program in target.tests})
    built = build(tree, options.jobs, programs)
    if built.returncode != 0 or not all(
            passes(tree, target, options.modules) for target in targets.values()):
        sys.exit("the unchanged tree does not build or does not pass:\n" + built.stdout[-2000:])
    survivors = 0
    for target_name, target in targets.items():
        for mutation in target.mutations:
            if options.only not in mutation[0]:
                continue
            caught = is_caught(tree, target, mutation, options)
            survivors += not caught
            print(f"{'caught  ' if caught else 'SURVIVED'}  {target_name}  {mutation[1]}: "
                  f"{mutation[0]}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
