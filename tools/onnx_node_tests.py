"""Runs the node tests of the installed `onnx` against Tandem and writes docs/operators.md.

    PYTHONPATH=build/release/python .venv/bin/python tools/onnx_node_tests.py
    ... tools/onnx_node_tests.py --filter '^test_conv' --verbose
    ... tools/onnx_node_tests.py --json results.json --output -

Each test runs in a forked worker with a time limit, so that a crash is counted and named. Exit code
1: an answer is wrong, or a test crashed.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import multiprocessing.connection
import re
import signal
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

import tandem
from tandem import onnx_backend

REPO = Path(__file__).resolve().parent.parent
STATUSES = ("passed", "rounding", "refused", "wrong", "crashed", "excluded")


ROUNDING = ("Beyond the test's tolerance, and nowhere by more than one f32 rounding of the "
            "greatest number of the tensor: ONNX's expectation holds the noise of its own sum "
            "where the exact result is 0, and its tolerance is relative.")


@dataclass
class Result:
    name: str
    op: str
    status: str  # one of STATUSES
    detail: str = ""
    bound: list[str] = field(default_factory=list)  # inputs that had to be known beforehand
    all_bound: bool = False
    seconds: float = 0


def operator_of(case, by_name) -> str:
    """The operator under test; that of a function's expansion is the function."""
    base = by_name.get(re.sub(r"_expanded(_ver\d+)?$", "", case.name), case)
    node = base.model.graph.node[0]
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def exclusion_of(case, op: str) -> str:
    """Why a test is none of numbers and inference; "" for those that run."""
    graph = case.model.graph
    for value in [*graph.input, *graph.output]:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"{kind.removesuffix('_type')}s as inputs or outputs"
        if value.type.tensor_type.elem_type == TensorProto.STRING:
            return "strings as inputs or outputs"
    if "training" in op or "training" in case.name:
        return "training"
    if op == "Bernoulli":
        return "random results"
    return ""


def array_of(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def reason_of(error: tandem.Error) -> str:
    """A refusal without its remedy and the names, shapes and numbers of one test's model."""
    text = str(error).removeprefix("model in memory: ")
    if isinstance(error, tandem.RefusedModel):
        text = error.nodes[0]["reason"]
    text = re.sub(r"^(\w+ '[^']*': )+", "", text.split("; ")[0])
    return re.sub(r"\[[\w,]*\]", "[...]", text)


def shortened(error: AssertionError) -> str:
    return " ".join(str(error).split())[:300]


def is_rounding(expected, outputs) -> bool:
    """Whether reals differ nowhere by more than one rounding of their tensor's greatest number.

    ONNX computes some of what it expects in narrow floats. Where the exact result is 0 beside
    large ones, such an expectation is the noise of its own sum, which no relative tolerance meets.
    """
    for want, got in zip(expected, outputs, strict=True):
        if want.dtype != np.float32 or got.dtype != want.dtype or got.shape != want.shape:
            return False
        step = np.finfo(want.dtype).eps * np.abs(want).max(initial=0)
        if not (np.abs(want - got) <= step).all():
            return False
    return True


def run_case(case, op: str) -> Result:
    started = time.monotonic()
    result = Result(case.name, op, "passed")
    try:
        network = onnx_backend.prepare(case.model)
        for inputs, expected in case.data_sets:
            outputs = network.run([array_of(value) for value in inputs])
            wanted = [array_of(value) for value in expected]
            try:
                Runner.assert_similar_outputs(wanted, outputs, rtol=case.rtol, atol=case.atol)
            except AssertionError as error:
                if not is_rounding(wanted, outputs):
                    raise
                result.status, result.detail = "rounding", shortened(error)
        result.bound = list(network.bound)
        result.all_bound = len(network.bound) == len(case.model.graph.input) > 0
    except tandem.Error as error:
        result.status, result.detail = "refused", reason_of(error)
    except AssertionError as error:
        result.status, result.detail = "wrong", shortened(error)
    except tandem.InternalError as error:
        result.status, result.detail = "crashed", f"internal error: {error}"
    except Exception:  # the instrument reports it; nothing is to end the run
        result.status, result.detail = "crashed", traceback.format_exc(limit=-2)
    result.seconds = time.monotonic() - started
    return result


def work(pipe, cases, ops) -> None:
    """Runs the tests whose numbers arrive until None does."""
    warnings.simplefilter("ignore")
    while (index := pipe.recv()) is not None:
        pipe.send(run_case(cases[index], ops[index]))


class Worker:
    """A forked process that runs one test at a time."""

    def __init__(self, cases, ops) -> None:
        self._cases, self._ops = cases, ops
        self.pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=work, args=(theirs, cases, ops), daemon=True)
        self.process.start()
        theirs.close()
        self.index: int | None = None
        self.started = 0.0

    def give(self, index: int) -> None:
        self.index, self.started = index, time.monotonic()
        self.pipe.send(index)

    def result(self) -> Result:
        """Of the test that it was given, once its pipe is ready: a crash closes it."""
        assert self.index is not None
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Result(self._cases[self.index].name, self._ops[self.index], "crashed", how)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_all(cases, ops, indices: list[int], jobs: int, limit: float) -> list[Result]:
    results: list[Result] = []
    pending = list(reversed(indices))
    workers: list[Worker] = []
    while pending or workers:
        while pending and len(workers) < jobs:
            workers.append(Worker(cases, ops))
            workers[-1].give(pending.pop())
        ready = multiprocessing.connection.wait([w.pipe for w in workers], timeout=1)
        for worker in list(workers):
            late = time.monotonic() - worker.started > limit
            if worker.pipe in ready:
                results.append(worker.result())
            elif late:
                results.append(Result(cases[worker.index].name, ops[worker.index], "crashed",
                                      f"ran longer than {limit:g} s"))
            else:
                continue
            if results[-1].status != "crashed" and pending:
                worker.give(pending.pop())
            else:
                worker.stop()
                workers.remove(worker)
    return sorted(results, key=lambda result: result.name)


def counted(texts, most: int = 3) -> str:
    """"a (3); b": each text once with its number, the most frequent ones."""
    counts = collections.Counter(texts).most_common()
    shown = [f"{text} ({number})" if number > 1 else text for text, number in counts[:most]]
    others = sum(number for _, number in counts[most:])
    return "; ".join(shown + ([f"others ({others})"] if others else []))


def cell(text: str) -> str:
    first = text.strip().splitlines()[-1] if text.strip() else ""
    return first[:160].replace("|", "\\|").replace("<", "&lt;")


def totals_of(results: list[Result]) -> dict[str, int]:
    counts = collections.Counter(result.status for result in results)
    return {status: counts[status] for status in STATUSES}


def document(results: list[Result]) -> str:
    totals = totals_of(results)
    numeric = [result for result in results if result.status != "excluded"]
    passed = [result for result in numeric if result.status == "passed"]
    some = sum(bool(result.bound) and not result.all_bound for result in passed)
    every = sum(result.all_bound for result in passed)
    by_op: dict[str, list[Result]] = collections.defaultdict(list)
    for result in numeric:
        by_op[result.op].append(result)
    whole = sum(all(r.status == "passed" for r in tests) for tests in by_op.values())
    some_passed = sum(any(r.status == "passed" for r in tests) for tests in by_op.values())
    lines = [
        "# ONNX's operators",
        "",
        f"What the {len(results):,} node tests of PyPI's onnx {onnx.__version__} say, each within "
        "its own tolerance. `tools/onnx_node_tests.py` writes this page.",
        "",
        "| numeric tests | passed | within rounding | refused | wrong | crashed |",
        "|---:|---:|---:|---:|---:|---:|",
        f"| {len(numeric):,} | {totals['passed']:,} ({len(passed) / max(1, len(numeric)):.1%}) | "
        f"{totals['rounding']:,} | {totals['refused']:,} | {totals['wrong']:,} | "
        f"{totals['crashed']:,} |",
        "",
        f"Of {len(by_op)} operators, {whole} pass all their tests and {some_passed} at least one "
        f"({some_passed / max(1, len(by_op)):.1%}).",
        "",
        "Networks are read ahead of time, so what shapes depend on must be known then: of the "
        f"tests passed, {some:,} had parameters bound to their values before reading, and "
        f"{every:,} all their inputs, so that reading folded the node.",
        "",
    ]
    for status, title, why in (("rounding", "Within rounding", ROUNDING),
                               ("wrong", "Wrong answers", ""), ("crashed", "Crashes", "")):
        found = [result for result in results if result.status == status]
        if found:
            lines += [f"## {title}", ""]
            lines += [why, ""] if why else []
            lines += [f"- {result.name}: {cell(result.detail)}" for result in found]
            lines.append("")
    lines += ["## By operator", "",
              "| operator | tests | passed | rounding | refused | wrong | crashed | why refused |",
              "|---|---:|---:|---:|---:|---:|---:|---|"]
    for op in sorted(by_op, key=str.lower):
        counts = totals_of(by_op[op])
        why = counted(cell(result.detail) for result in by_op[op] if result.status == "refused")
        numbers = [len(by_op[op]), *(counts[status] for status in STATUSES[:5])]
        lines.append(f"| {op} | {' | '.join(str(number or '') for number in numbers)} | {why} |")
    lines += ["", "## Not run", "", "| reason | tests |", "|---|---:|"]
    reasons = collections.Counter(r.detail for r in results if r.status == "excluded")
    lines += [f"| {reason} | {number} |" for reason, number in reasons.most_common()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filter", metavar="REGEX", default="", help="only tests of such names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also every result, as JSON")
    parser.add_argument("--output", metavar="FILE", help="instead of docs/operators.md; - for none")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=20, help="seconds for one test")
    parser.add_argument("--verbose", action="store_true", help="print every test")
    options = parser.parse_args()

    warnings.simplefilter("ignore")
    cases = sorted(load_model_tests(kind="node"), key=lambda case: case.name)
    by_name = {case.name: case for case in cases}
    ops = [operator_of(case, by_name) for case in cases]
    chosen = [i for i, case in enumerate(cases) if re.search(options.filter, case.name)]
    if not chosen:
        parser.error(f"no test's name matches {options.filter}")
    why = {i: exclusion_of(cases[i], ops[i]) for i in chosen}
    results = run_all(cases, ops, [i for i in chosen if not why[i]], options.jobs, options.limit)
    results += [Result(cases[i].name, ops[i], "excluded", why[i]) for i in chosen if why[i]]
    results.sort(key=lambda result: result.name)

    for result in results:
        if options.verbose or result.status in ("rounding", "wrong", "crashed"):
            print(f"{result.status:9}{result.name}  {result.detail}")
    totals = totals_of(results)
    print(", ".join(f"{number} {status}" for status, number in totals.items()))
    if options.json:
        options.json.write_text(json.dumps(
            {"schema": "tandem-onnx-node-tests/1", "onnx": onnx.__version__, "totals": totals,
             "tests": [asdict(result) for result in results]}, indent=1) + "\n")
    if options.output != "-" and (options.output or not options.filter):
        Path(options.output or REPO / "docs/operators.md").write_text(document(results))
    return 1 if totals["wrong"] or totals["crashed"] else 0


if __name__ == "__main__":
    sys.exit(main())
