# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, twice in a row, in every language level that an embedder may
have, with every warning an error. One TAP case a header and level."""

import os
import subprocess
import sys

LEVELS = [
    ("c", "gcc", ["-std=c99"]),
    ("c", "gcc", ["-std=c11"]),
    ("c", "clang", ["-std=c99"]),
    ("c++", "g++", ["-std=c++98", "-Wno-long-long", "-Wno-variadic-macros"]),
    ("c++", "g++", ["-std=c++11"]),
    ("c++", "g++", ["-std=c++20"]),
    ("c++", "clang++", ["-std=c++20"]),
]
WARNINGS = ["-pedantic-errors", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror",
            "-fsyntax-only"]


def main(include, headers):
    # vmkit.h brings all the others: none may be missing from it.
    together = "".join(f'#include <vmkit/{name}>\n' for name in ["vmkit.h"] + headers)
    jobs = [(name, f"#include <vmkit/{name}>\n" * 2) for name in headers] + [("all", together)]
    failed = number = 0
    print(f"1..{len(jobs) * len(LEVELS) + 1}")
    for name, program in jobs:
        for language, compiler, options in LEVELS:
            number += 1
            result = subprocess.run(
                [compiler, "-x", language, *options, *WARNINGS, "-I", include, "-"],
                input=program, capture_output=True, text=True, check=False)
            good = result.returncode == 0
            failed += not good
            print(f"{'' if good else 'not '}ok {number} - {name} with {compiler} {options[0]}")
            for line in result.stderr.splitlines():
                print(f"# {line}")
    with open(os.path.join(include, "vmkit", "vmkit.h"), encoding="utf-8") as file:
        text = file.read()
    # guest.h is for programs inside of a sandbox.
    missing = [name for name in headers
               if name not in ("vmkit.h", "guest.h") and f"<vmkit/{name}>" not in text]
    failed += bool(missing)
    print(f"{'not ' if missing else ''}ok {number + 1} - vmkit.h includes all others")
    for name in missing:
        print(f"# it lacks {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    HEADERS = sorted(name for name in os.listdir(os.path.join(sys.argv[1], "vmkit"))
                     if name.endswith(".h"))
    sys.exit(main(sys.argv[1], HEADERS))
