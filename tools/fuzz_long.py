#!/usr/bin/env python3
"""Runs many structure-aware fuzzed inputs through a reader, and counts them.

    tools/fuzz_long.py [--inputs 10000000] [--jobs 1] [--target onnx] [--build build/release]

The inputs are cut into chunks, each a run of the plain driver of tests/fuzz with its number as seed
in a process of at most --memory bytes of address space. A finished chunk is a file of
BUILD/fuzz_long/TARGET, so that a later call goes on where one was stopped; calls that run side by
side share the chunks by locks. The counts of all finished chunks are printed at the end and when
stopped. A chunk counts for the program that ran it: --fresh forgets those of other builds. A crash,
a hang or too much memory ends the call with exit code 1 and the file that repeats it.
"""

import argparse
import fcntl
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHUNK = 50_000
CHUNK_SECONDS = 3600


class Chunks:
    def __init__(self, options):
        self.options = options
        self.program = options.build / "tests/fuzz" / f"tandem_{options.target}_fuzz"
        self.corpus = Path("tests/fuzz/corpus") / options.target.split("_")[0]
        self.folder = options.build / "fuzz_long" / options.target
        self.count = -(-options.inputs // CHUNK)
        self.stopped = threading.Event()
        self.failures = []
        self.running = set()

    def result(self, number):
        return self.folder / f"{number:05}.txt"

    def run(self, number):
        """One chunk, unless it is done, somebody else's, or the call is being stopped."""
        if self.stopped.is_set() or self.result(number).exists():
            return
        work = self.folder / f"{number:05}.work"
        work.mkdir(parents=True, exist_ok=True)
        with open(work / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self.run_locked(number, work)

    def run_locked(self, number, work):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (self.options.memory, self.options.memory))

        command = [self.program.resolve(), "--inputs", str(CHUNK), self.corpus.resolve(), "--seed",
                   str(number + 1)]
        with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, preexec_fn=limit) as process:
            self.running.add(process)
            try:
                output, _ = process.communicate(timeout=CHUNK_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                output = process.communicate()[0] + f"\nno end in {CHUNK_SECONDS} s"
            self.running.discard(process)
        if process.returncode == 0:
            (work / "output").write_text(output, encoding="utf-8")
            (work / "output").rename(self.result(number))
            shutil.rmtree(work)
        elif not self.stopped.is_set():
            self.failures.append(f"chunk {number} (in {work}): exit code {process.returncode}\n"
                                 + output[-2000:])
            self.stop()

    def stop(self, *_):
        self.stopped.set()
        for process in list(self.running):
            process.terminate()

    def summary(self):
        """The inputs of all finished chunks, and how many reached each stage."""
        inputs, stages = 0, {}
        for number in range(self.count):
            if not self.result(number).exists():
                continue
            text = self.result(number).read_text(encoding="utf-8")
            inputs += int(re.search(r"^(\d+) inputs", text, re.M).group(1))
            shares = re.search(r"^share (.*)$", text, re.M)
            for name, count in re.findall(r"([^:,]+): [\d.]+ % \((\d+)\)", shares.group(1)):
                stages[name.strip()] = stages.get(name.strip(), 0) + int(count)
        lines = [f"{self.options.target}: {inputs:,} of {self.options.inputs:,} inputs"]
        lines += [f"  {name}: {count:,} ({count / max(inputs, 1):.1%})"
                  for name, count in stages.items()]
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--target", default="onnx")
    parser.add_argument("--build", type=Path, default=Path("build/release"))
    parser.add_argument("--memory", type=int, default=4 << 30, help="bytes [%(default)s]")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    options = parser.parse_args()
    chunks = Chunks(options)
    if not chunks.program.exists():
        raise SystemExit(f"no program {chunks.program}: build it with TANDEM_TESTS=ON")
    if options.fresh:
        shutil.rmtree(chunks.folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, chunks.stop)
    signal.signal(signal.SIGINT, chunks.stop)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(chunks.run, range(chunks.count)))
    print(chunks.summary())
    for failure in chunks.failures:
        print(failure, file=sys.stderr)
    return 1 if chunks.failures else 0


if __name__ == "__main__":
    sys.exit(main())
