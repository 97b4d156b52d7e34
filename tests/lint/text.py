# SPDX-License-Identifier: Apache-2.0
"""Rules for every text of the tree: format, length, words that say that work is left."""

import os
import re
import subprocess
import tempfile

from source import lines

C_FILES = (".c", ".h")
LIMIT = 700
NOTED = 350
# Not held against a script: files that are not followed (1090, 1091) and so variables that two files
# share (2034, 2154); commas in a program's own options (2054); `x= y=` in a list of locals (1007);
# a stream sent to a descriptor that a variable names, taken for both streams (2261).
EXCLUDED = "SC1090,SC1091,SC2034,SC2154,SC2054,SC1007,SC2261"
# Put together, so that this file does not find itself.
LEFT_UNDONE = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")
# f(g(&error), error): which argument comes first is the compiler's choice.
READ_EARLY = re.compile(r"&(\w*error)\s*\)\s*,\s*\1\s*[,)]")
PROSE = (".md", ".txt", ".svg")


def _is_shell(path, text):
    return text.startswith(("#!/bin/bash", "#!/bin/sh", "#!/usr/bin/env bash")) or (
        path.endswith((".bash", ".sh")))


def formatting(tree):
    """C is formatted the way .clang-format says"""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, ".clang-format"), "w", encoding="utf-8") as file:
            file.write(tree[".clang-format"])
        # All at once, since starting it takes most of its time.
        copies = {path: os.path.join(folder, str(number), "a.c")
                  for number, path in enumerate(tree) if path.endswith(C_FILES)}
        for path, copy in copies.items():
            os.mkdir(os.path.dirname(copy))
            with open(copy, "w", encoding="utf-8", newline="") as file:
                file.write(tree[path])
        if copies:
            subprocess.run(["clang-format", "-i", *copies.values()], check=True)
        for path, copy in copies.items():
            with open(copy, encoding="utf-8", newline="") as file:
                formatted = file.read().split("\n")
            for number, line in lines(tree[path]):
                if number > len(formatted) or formatted[number - 1] != line:
                    yield path, number, "is not formatted: clang-format -i " + path
                    break


def whitespace(tree):
    """no tabs, no spaces at line ends, one line break at the end of a file"""
    for path, text in tree.items():
        if path.endswith((".svg", ".patch", ".xml", ".abi")) or path == "LICENSE":
            continue
        if text and not text.endswith("\n"):
            yield path, text.count("\n") + 1, "does not end with a line break"
        for number, line in lines(text):
            if line.rstrip() != line:
                yield path, number, "ends with white space"
            if "\t" in line and not path.endswith((".go", ".gitmodules", "go.mod")):
                yield path, number, "has a tab"


def length(tree):
    """no file of lib/ is so long that a reader would want it in two"""
    for path, text in tree.items():
        if path.startswith("lib/") and path.endswith(C_FILES) and text.count("\n") > LIMIT:
            yield path, LIMIT, f"has {text.count(chr(10))} lines, more than {LIMIT}"


def words(tree):
    """nothing says that work is left to do"""
    for path, text in tree.items():
        if path.endswith(PROSE):
            continue
        for number, line in lines(text):
            if LEFT_UNDONE.search(line):
                yield path, number, line.strip()


def licence(tree):
    """every source file names its licence in its first lines"""
    for path, text in tree.items():
        if path.endswith((".c", ".h", ".cpp", ".S", ".py", ".f90")):
            if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
                yield path, 1, "has no SPDX-License-Identifier"


def errors(tree):
    """no call reads an error among its arguments that another argument sets"""
    for path, text in tree.items():
        if path.endswith(C_FILES + (".md", ".cpp")):
            for found in READ_EARLY.finditer(text):
                yield path, text.count("\n", 0, found.start()) + 1, f"reads {found[1]} too early"


def shell(tree):
    """shell scripts pass shellcheck"""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in tree.items():
            if not _is_shell(path, text):
                continue
            copy = os.path.join(folder, path)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "w", encoding="utf-8") as file:
                file.write(text)
            result = subprocess.run(
                ["shellcheck", "--severity=warning", "--exclude=" + EXCLUDED, "--format=gcc", copy],
                capture_output=True, check=False)
            for line in result.stdout.decode().splitlines():
                number, message = re.match(r".*?:(\d+):\d+: (.*)", line[len(copy):]).groups()
                yield path, int(number), message


def notes(tree):
    """Files that are longer than most: said, not held against them."""
    for path, text in tree.items():
        if path.startswith("lib/") and path.endswith(C_FILES) and text.count("\n") > NOTED:
            yield f"{path} has {text.count(chr(10))} lines"


RULES = [formatting, whitespace, length, words, licence, errors, shell]
