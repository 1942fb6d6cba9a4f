"""Checks that each file named on the command line parses, without running or caching it."""

import ast
import sys


def main(paths: list[str]) -> int:
    failures = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            source = file.read()
        try:
            ast.parse(source, path)
        except SyntaxError as error:
            print(f"{path}:{error.lineno}: {error.msg}", file=sys.stderr)
            failures += 1
        for number, line in enumerate(source.splitlines(), 1):
            if len(line) > 100:
                print(f"{path}:{number}: longer than 100 columns", file=sys.stderr)
                failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
