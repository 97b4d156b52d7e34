# SPDX-License-Identifier: Apache-2.0
"""Breaks a small library in every way that the ABI check has to notice, and sees that it does."""

import os
import subprocess
import sys
import tempfile

HEADER = """#include <stdint.h>
struct pair { uint32_t size; uint32_t one; };
int vmkit_first(const struct pair *pair);
int vmkit_second(int number);
struct closed;
int vmkit_open(const struct closed *closed);
"""
SOURCE = """#include "a.h"
int vmkit_first(const struct pair *pair) { return (int)pair->one; }
int vmkit_second(int number) { return number; }
struct closed { int inside; };
int vmkit_open(const struct closed *closed) { return closed->inside; }
"""

# What is done to the header and the source, and whether the check has to fail.
CHANGES = [
    ("nothing", lambda text: text, False),
    ("a function is added", lambda text: text + (
        "int vmkit_third(void);\n" if "#include <" in text else "int vmkit_third(void)\n{\nreturn 3;}\n"),
     False),
    ("an opaque structure changes", lambda text: text.replace("{ int inside;", "{ int more, inside;"),
     False),
    ("a function is removed", lambda text: "\n".join(
        line for line in text.split("\n") if "vmkit_second" not in line) + "\n", True),
    ("a parameter's type changes", lambda text: text.replace("int number", "uint64_t number")
     .replace("return number", "return (int)number"), True),
    ("a field changes its width", lambda text: text.replace("uint32_t one", "uint64_t one"), True),
    ("two fields change places", lambda text: text.replace(
        "uint32_t size; uint32_t one;", "uint32_t one; uint32_t size;"), True),
]


def build(folder, change):
    os.makedirs(folder)
    for name, text in (("a.h", HEADER), ("a.c", SOURCE)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(change(text))
    library = os.path.join(folder, "liba.so")
    subprocess.run(["gcc", "-g", "-shared", "-fPIC", "-o", library, os.path.join(folder, "a.c")],
                   check=True)
    return library


def main(compare):
    failed = 0
    print(f"1..{len(CHANGES)}")
    with tempfile.TemporaryDirectory() as top:
        baseline = os.path.join(top, "baseline.abi")
        old = build(os.path.join(top, "old"), lambda text: text)
        subprocess.run([compare, "--write", old, baseline, os.path.dirname(old)], check=True)
        for number, (what, change, bad) in enumerate(CHANGES, 1):
            library = build(os.path.join(top, str(number)), change)
            result = subprocess.run([compare, library, baseline, os.path.dirname(library)],
                                    capture_output=True, text=True, check=False)
            good = (result.returncode != 0) == bad
            failed += not good
            print(f"{'' if good else 'not '}ok {number} - {what}: {'fails' if bad else 'passes'}")
            if not good:
                print("\n".join(f"# {line}" for line in result.stdout.splitlines()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
