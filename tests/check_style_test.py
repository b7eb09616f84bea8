"""The style check on tiny trees: each rule finds what breaks it, and says what to do; a clean tree passes."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"
CLEAN = {
    "src/base/check.h": "// The only way to fail.\n#pragma once\nvoid fail(int code);\n",
    "src/base/check.cc": '#include "base/check.h"\nvoid fail(int code) { (void)code; }\n',
    "src/data/split.h": "// Splits of a data set.\n#pragma once\nint split(int rows, int parts = 2);\n"
                        "struct Splitter {\n  int part() const;\n};\n",
    "src/data/split.cc": '#include "data/split.h"\n#include "base/check.h"\nnamespace {\nint halve(int x) { return x / 2; }\n}'
                         "\nint split(int rows, int parts) { return halve(rows) / parts; }\n"
                         "int Splitter::part() const { return 1; }\n",
    "src/app/main.cc": '// The program and nothing else.\n#include "data/split.h"\nint main() { return split(4); }\n',
}


class CheckStyle(unittest.TestCase):
    def check(self, files, map_is_fresh=True):
        """Exit status and lines of the check on CLEAN with `files` on top (None removes one)."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "README.md").write_text("<!-- file map: begin (tools/file_map.py writes it) -->\n<!-- file map: end -->\n")
            for name, text in {**CLEAN, **files}.items():
                if text is not None:
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    (root / name).write_text(text)
            if map_is_fresh:
                subprocess.run([sys.executable, TOOLS / "file_map.py", "--root", root], check=True)
            done = subprocess.run([sys.executable, TOOLS / "check_style.py", "--root", root], capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def refuses(self, files, *messages, **options):
        status, output = self.check(files, **options)
        self.assertEqual(status, 1, output)
        for message in messages:
            self.assertIn(message, output)

    def test_a_clean_tree_passes(self):
        status, output = self.check({})
        self.assertEqual(status, 0, output)

    def test_rooms(self):
        self.refuses({"src/base/high.h": '// A unit too high.\n#include "data/split.h"\n'},
                     "src/base/high.h:2: room base may not include data/split.h: pass the value in")
        self.refuses({"src/base/high.h": "// A unit too high.\n", "src/base/high.cc": '#include "data/split.h"\n'},
                     "src/base/high.cc:1: room base may not include data/split.h")
        self.refuses({"src/cellar/x.h": "// A unit of no room.\n"}, "unknown room cellar")
        self.refuses({"src/data/t.h": "// A unit with tensors.\n#include <torch/types.h>\n"}, "must not include torch")

    def test_cycles_are_found_through_cc_files(self):
        self.refuses({"src/base/a.h": '// A unit named a.\n#include "base/b.h"\n',
                      "src/base/b.h": "// A unit named b.\n",
                      "src/base/b.cc": '#include "base/b.h"\n#include "base/a.h"\n'},
                     "src/base/a.h:2: units include each other in a circle", "base/b.cc:2 includes base/a.h",
                     "Move what both need into a unit below")

    def test_bodies_are_where_their_header_says(self):
        self.refuses({"src/data/split.cc": '#include "data/split.h"\n',
                      "src/data/other.h": "// Another unit here.\n",
                      "src/data/other.cc": '#include "data/other.h"\n#include "data/split.h"\n'
                                           "int split(int rows, int parts) { return rows / parts; }\n"},
                     "src/data/other.cc:3: declared in data/split.h: split(). Move the body to data/split.cc or the "
                     "declarations to data/other.h")
        self.refuses({"src/data/split.cc": '#include "data/split.h"\nint split(int rows, int parts) { return rows; }\n',
                      "src/data/other.cc": '// Another unit here.\n#include "data/split.h"\n'
                                           "int Splitter::part() const { return 2; }\n"},
                     "declared in data/split.h: Splitter::part()")
        self.refuses({"src/data/lost.cc": "// A body without header.\nint lost() { return 1; }\n"},
                     "data/lost.h is missing: give this file a header")

    def test_other_functions_of_the_same_name_are_no_violation(self):
        status, output = self.check({
            "src/data/other.h": "// Another unit here.\nint split(int rows, int parts, int seed);\n",
            "src/data/other.cc": '#include "data/other.h"\n#include "data/split.h"\n'
                                 "int split(int rows, int parts, int seed) { return split(rows, parts) + seed; }\n"
                                 "namespace {\nint split(int rows, int parts) { return rows; }\n}\n"})
        self.assertEqual(status, 0, output)

    def test_sizes_and_paths(self):
        self.refuses({"src/data/long.h": "// A file that is long.\n" + "// line\n" * 500}, "501 lines, at most 500")
        self.refuses({"src/data/split.cc": '#include "data/split.h"\nint split(int rows, int parts) {\n' + "  ++rows;\n" * 90
                                           + "  return rows;\n}\n"}, "lines, at most 80")
        self.refuses({"src/data/split.cc": 'const char* kPath = "/home/me/data";\n'}, "absolute path")

    def test_file_map(self):
        self.refuses({}, "the file map is stale: run tools/file_map.py", map_is_fresh=False)
        self.refuses({"src/base/check.h": "// Files.\n#pragma once\nvoid fail(int code);\n"},
                     'expected a first sentence that says what base/check is, found "Files."')


if __name__ == "__main__":
    unittest.main()
