"""Checks what no compiler sees: the order of the rooms, how headers are included, lengths of files.

A file of src/tandem/<room> may include its own room, the rooms to its left in the same storey and
every room of the storeys above, by the table in cmake/TandemRooms.cmake. Prints one line per fault
and exits 1 when there is any.
"""

import argparse
import pathlib
import re
import subprocess
import sys

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"')
SOURCE_SUFFIXES = {".h", ".cpp", ".py", ".sh", ".sv", ".v", ".c"}
LINE_LIMIT = 600
# Made at build time, so they have no place in the source tree.
GENERATED_HEADERS = {"tandem_build_info.h", "onnx/onnx-ml.pb.h"}


def read_rooms(table: pathlib.Path) -> dict[str, int]:
    """The rooms in include order, each with its place."""
    text = table.read_text(encoding="utf-8")
    storeys = re.search(r"set\(TANDEM_STOREYS ([^)]*)\)", text)
    if storeys is None:
        raise SystemExit(f"{table}: no set(TANDEM_STOREYS ...)")
    rooms: list[str] = []
    for storey in storeys.group(1).split():
        row = re.search(rf"set\(TANDEM_STOREY_{storey} ([^)]*)\)", text)
        if row is None:
            raise SystemExit(f"{table}: no set(TANDEM_STOREY_{storey} ...)")
        rooms += row.group(1).split()
    return {room: place for place, room in enumerate(rooms)}


def check_include(root: pathlib.Path, room: str | None, name: str, places: dict[str, int]) -> str:
    """The fault of `#include "name"` in a file of `room` (None: outside src), or ""."""
    if name in GENERATED_HEADERS:
        return ""
    parts = name.split("/")
    if parts[0] != "tandem":
        if room is None and (root / name).is_file():
            return ""
        if room == "cli" and name == "studies/register.h":  # the program has them, no room does
            return ""
        return f'"{name}": write the path from the include root, "tandem/<room>/<file>.h"'
    if len(parts) < 3 or parts[1] not in places:
        return f'"{name}": no such room in the table of rooms'
    if not (root / "src" / name).is_file():
        return f'"{name}": no such file'
    if room is not None and places[parts[1]] > places[room]:
        return f'"{name}": {room} may not include {parts[1]}, which comes later'
    return ""


def check_includes(root: pathlib.Path, path: pathlib.Path, places: dict[str, int]) -> list[str]:
    parts = path.parts
    in_room = len(parts) > 3 and parts[:2] == ("src", "tandem")
    room = parts[2] if in_room else None
    if room is not None and room not in places:
        return [f"{path}: {room} is not in the table of rooms (cmake/TandemRooms.cmake)"]
    faults = []
    lines = (root / path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        fault = check_include(root, room, match.group(1), places) if match else ""
        if fault:
            faults.append(f"{path}:{number}: {fault}")
    if path.suffix == ".h" and "#pragma once" not in lines:
        faults.append(f"{path}: no #pragma once")
    return faults


def read_exceptions(path: pathlib.Path) -> dict[str, int]:
    """Lines `path limit reason` of the list of files that may be longer."""
    exceptions = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, limit, reason = line.split(maxsplit=2)
        if not reason:
            raise SystemExit(f"{path}: {name} is excepted without a reason")
        exceptions[name] = int(limit)
    return exceptions


def check_length(root: pathlib.Path, path: pathlib.Path, exceptions: dict[str, int]) -> list[str]:
    limit = exceptions.get(path.as_posix(), LINE_LIMIT)
    with open(root / path, encoding="utf-8") as file:
        count = sum(1 for _ in file)
    if count <= limit:
        return []
    return [f"{path}: {count} lines, the limit is {limit}: is there a second part inside?"]


def tracked_files(root: pathlib.Path) -> list[pathlib.Path]:
    """What git tracks or would; every file where the sources are no repository."""
    if (root / ".git").exists():
        listing = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root, capture_output=True, check=True, text=True).stdout
        names = [pathlib.Path(name) for name in listing.split("\0") if name]
    else:
        names = [path.relative_to(root) for path in root.rglob("*")
                 if not {"build", ".venv"} & set(path.relative_to(root).parts)]
    return sorted({name for name in names if (root / name).is_file()})


def check_tree(root: pathlib.Path) -> list[str]:
    places = read_rooms(root / "cmake" / "TandemRooms.cmake")
    exceptions = read_exceptions(root / "tools" / "length_exceptions.txt")
    faults = []
    for name in sorted(exceptions):
        if not (root / name).is_file():
            faults.append(f"tools/length_exceptions.txt: {name} does not exist")
    for path in tracked_files(root):
        if path.suffix in {".h", ".cpp"} and path.parts[0] != "examples":
            faults += check_includes(root, path, places)
        if path.suffix in SOURCE_SUFFIXES:
            faults += check_length(root, path, exceptions)
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default_root = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--root", type=pathlib.Path, default=default_root)
    faults = check_tree(parser.parse_args().root)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
