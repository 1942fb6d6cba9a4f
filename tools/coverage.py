"""Prints how many lines of a room's sources the runs so far have executed, from gcov's counts.

The build must be one of the preset `coverage`; run the tests in it first (`make coverage`).
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys


def executed_lines(build: pathlib.Path, room: str) -> dict[str, dict[int, int]]:
    """For each source file of the room, how often each line with code was executed."""
    counts = collections.defaultdict(lambda: collections.defaultdict(int))
    objects = build / "src" / "tandem" / "CMakeFiles" / f"tandem_{room}.dir"
    notes = sorted(objects.rglob("*.gcno"))
    if not notes:
        raise SystemExit(f"coverage.py: no room \"{room}\" in {build} was built with --coverage")
    for note in notes:
        result = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(note.resolve())],
            capture_output=True, text=True, check=True)
        for document in result.stdout.splitlines():
            for file in json.loads(document)["files"]:
                if f"src/tandem/{room}/" in file["file"]:
                    name = file["file"].rsplit("src/tandem/", 1)[1]
                    for line in file["lines"]:
                        counts[name][line["line_number"]] += line["count"]
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/coverage"))
    parser.add_argument("--at-least", type=float, default=0, help="exit 1 below this percentage")
    parser.add_argument("room")
    options = parser.parse_args()

    total = covered = 0
    for name, lines in sorted(executed_lines(options.build, options.room).items()):
        hit = sum(1 for count in lines.values() if count > 0)
        print(f"{100 * hit / len(lines):6.1f} %  {hit:5} of {len(lines):5} lines  {name}")
        total += len(lines)
        covered += hit
    percentage = 100 * covered / total
    print(f"{percentage:6.1f} %  {covered:5} of {total:5} lines  {options.room}/")
    return 0 if percentage >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
