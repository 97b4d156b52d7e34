# SPDX-License-Identifier: Apache-2.0
"""Runs the program that looks up every function that the public headers declare."""

import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "lint"))
import headers  # noqa: E402


def names(include):
    found = []
    for name in sorted(os.listdir(os.path.join(include, "vmkit"))):
        with open(os.path.join(include, "vmkit", name), encoding="utf-8") as file:
            if name.endswith(".h"):
                found += [function for function, *_ in headers.functions(file.read())]
    return found


if __name__ == "__main__":
    program, library, include = sys.argv[1:4]
    os.execv(program, [program, library, "libvmkit.so"] + names(include))
