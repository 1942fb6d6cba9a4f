"""Each fault that tools/check_sources.py knows is found in a small tree that has it."""

import pathlib
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY / "tools"))
import check_sources  # noqa: E402  (needs the path above)

TABLE = """
set(TANDEM_STOREYS low high)
set(TANDEM_STOREY_low base tensor)
set(TANDEM_STOREY_high graph)
"""


class CheckSourcesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("cmake/TandemRooms.cmake", TABLE)
        self.write("tools/length_exceptions.txt", "# none\n")
        for room in ("base", "tensor", "graph"):
            self.write(f"src/tandem/{room}/{room}.h", "#pragma once\n")

    def write(self, name: str, text: str):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def assert_single_fault(self, *texts: str):
        faults = check_sources.check_tree(self.root)
        self.assertEqual(len(faults), 1, faults)
        for text in texts:
            self.assertIn(text, faults[0])

    def test_includes_to_the_left_above_and_within_are_clean(self):
        self.write("src/tandem/graph/a.cpp", '#include "tandem/graph/graph.h"\n'
                   '#include "tandem/base/base.h"\n#include "tandem/tensor/tensor.h"\n')
        self.write("src/tandem/tensor/b.cpp", '#include "tandem/base/base.h"\n#include <vector>\n')
        self.assertEqual(check_sources.check_tree(self.root), [])

    def test_include_to_the_right(self):
        self.write("src/tandem/base/a.cpp", '\n#include "tandem/tensor/tensor.h"\n')
        self.assert_single_fault("src/tandem/base/a.cpp:2", "base may not include tensor")

    def test_include_of_a_lower_storey(self):
        self.write("src/tandem/tensor/a.h", '#pragma once\n#  include "tandem/graph/graph.h"\n')
        self.assert_single_fault("src/tandem/tensor/a.h:2", "tensor may not include graph")

    def test_file_in_an_unknown_room(self):
        self.write("src/tandem/attic/a.cpp", "")
        self.assert_single_fault("attic is not in the table of rooms")

    def test_include_of_an_unknown_room(self):
        self.write("src/tandem/graph/a.cpp", '#include "tandem/attic/a.h"\n')
        self.assert_single_fault('"tandem/attic/a.h"', "no such room")

    def test_include_of_a_missing_file(self):
        self.write("src/tandem/graph/a.cpp", '#include "tandem/base/nothing.h"\n')
        self.assert_single_fault('"tandem/base/nothing.h"', "no such file")

    def test_relative_include(self):
        self.write("src/tandem/graph/a.cpp", '#include "graph.h"\n')
        self.assert_single_fault('"graph.h"', "from the include root")

    def test_header_without_guard(self):
        self.write("src/tandem/graph/a.h", "int a();\n")
        self.assert_single_fault("src/tandem/graph/a.h", "#pragma once")

    def test_long_file(self):
        self.write("src/tandem/graph/a.cpp", "\n" * 601)
        self.assert_single_fault("601 lines", "limit is 600")

    def test_excepted_long_file(self):
        self.write("src/tandem/graph/a.cpp", "\n" * 601)
        self.write("tools/length_exceptions.txt", "src/tandem/graph/a.cpp 700 one table\n")
        self.assertEqual(check_sources.check_tree(self.root), [])

    def test_exception_for_a_missing_file(self):
        self.write("tools/length_exceptions.txt", "src/tandem/graph/gone.cpp 700 one table\n")
        self.assert_single_fault("gone.cpp does not exist")

    def test_tests_may_include_every_room_and_their_own_helpers(self):
        self.write("tests/support/help.h", "#pragma once\n")
        self.write("tests/base/a_test.cpp",
                   '#include "tandem/graph/graph.h"\n#include "tests/support/help.h"\n')
        self.assertEqual(check_sources.check_tree(self.root), [])


if __name__ == "__main__":
    unittest.main()
