"""Runs clang-tidy over a compilation database and remembers which sources are clean.

A source is checked again only when it, a project header it reaches, its compile command, the
configuration or clang-tidy itself has changed. Exits 1 when there are findings.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

CLANG_TIDY = str(pathlib.Path(sys.executable).parent / "clang-tidy")
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
# The standard library beside GCC 12 uses what this newer Clang calls deprecated.
EXTRA_ARGUMENTS = [f"--extra-arg={argument}" for argument in (
    "-Wno-error", "-Wno-deprecated-declarations")]


def cache_dir() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "tandem" / "clang-tidy"


class Fingerprints:
    """Content hashes of sources together with the project headers they reach."""

    def __init__(self, root: pathlib.Path, build: pathlib.Path):
        self.roots = [root / "src", root, build / "generated", build / "generated" / "proto"]
        self.reach = functools.lru_cache(maxsize=None)(self._direct)

    def _direct(self, path: pathlib.Path) -> tuple[str, tuple[pathlib.Path, ...]]:
        content = path.read_bytes()
        headers = []
        for match in INCLUDE.finditer(content):
            name = match.group(1).decode()
            for folder in [path.parent, *self.roots]:
                if (folder / name).is_file():
                    headers.append((folder / name).resolve())
                    break
        return hashlib.sha256(content).hexdigest(), tuple(headers)

    def of(self, path: pathlib.Path) -> str:
        seen, pending = set(), [path]
        while pending:
            current = pending.pop()
            if current not in seen:
                seen.add(current)
                pending.extend(self.reach(current)[1])
        hashes = sorted(self.reach(current)[0] for current in seen)
        return hashlib.sha256("".join(hashes).encode()).hexdigest()


def project_entries(build: pathlib.Path, root: pathlib.Path, only: list[str]) -> list[dict]:
    """The database's entries for the project's own sources, once each."""
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    chosen = {}
    for entry in entries:
        path = pathlib.Path(entry["file"]).resolve()
        inside = root in path.parents and build not in path.parents
        if inside and (not only or any(text in str(path) for text in only)):
            chosen[path] = entry
    return list(chosen.values())


def run(path: str, build: pathlib.Path) -> tuple[bool, str]:
    result = subprocess.run(
        [CLANG_TIDY, "--quiet", "-p", str(build), *EXTRA_ARGUMENTS, path],
        capture_output=True, text=True, check=False)
    errors = [line for line in result.stderr.splitlines() if "warnings generated" not in line]
    return result.returncode == 0, result.stdout + "\n".join(errors)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True, help="folder of the database")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("only", nargs="*", help="check only these (parts of paths)")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    build = options.build.resolve()

    tool = subprocess.run([CLANG_TIDY, "--version"], capture_output=True, text=True, check=True)
    settings = (root / ".clang-tidy").read_text(encoding="utf-8") + tool.stdout
    fingerprints = Fingerprints(root, build)
    clean = cache_dir()
    clean.mkdir(parents=True, exist_ok=True)

    pending = []
    entries = project_entries(build, root, options.only)
    if not entries:
        print("tidy.py: no source to check", file=sys.stderr)
        return 1
    for entry in entries:
        path = pathlib.Path(entry["file"]).resolve()
        command = entry["command"].replace(str(root), "")
        key = hashlib.sha256((settings + command + fingerprints.of(path)).encode()).hexdigest()
        if not (clean / key).exists():
            pending.append((path, clean / key))

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [(pool.submit(run, str(path), build), marker) for path, marker in pending]
        for job, marker in jobs:
            passed, output = job.result()
            if passed:
                marker.touch()
            else:
                failures += 1
                print(output, file=sys.stderr)
    print(f"clang-tidy: {len(entries)} sources, {len(pending)} checked, {failures} with findings")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
