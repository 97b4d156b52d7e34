# SPDX-License-Identifier: Apache-2.0
"""What a public header may contain, and what it has to say about each function."""

import re

from source import lines, strip

ALLOWED_INCLUDES = re.compile(r"^\s*#\s*include\s*<(?:stdint\.h|vmkit/\w+\.h)>\s*$")
# Included by programs that run inside of a sandbox: nothing of it is in the library.
GUEST = "include/vmkit/guest.h"
FORBIDDEN = [
    (re.compile(r"\b(?:off_t|size_t|ssize_t|time_t|pid_t|mode_t)\b"), "a type that differs by system"),
    (re.compile(r"\b(?:long|short|unsigned|bool|_Bool)\b"), "an integer without a fixed width"),
    (re.compile(r"\bg(?:size|boolean|char|int|uint\w*|pointer)\b|\bG[A-Z]\w+\b"), "a GLib type"),
    (re.compile(r"\binline\b"), "an inline function, which no binding can call"),
    (re.compile(r"\.\.\.|\bva_list\b"), "a variable argument list"),
    (re.compile(r"^\s*(?:u?int\d+_t|int|unsigned|enum\s+\w+)\s+\w+\s*:\s*\d+"), "a bit field"),
    (re.compile(r"[(,]\s*(?:const\s+)?struct\s+\w+\s+\w+\s*[,)]"), "a structure passed by value"),
]
DECLARATION = re.compile(
    r"(?P<comment>/\*\*(?:(?!\*/).)*\*/)?\s*\n"
    r"(?P<type>[A-Za-z_][\w \t*]*?[ \t*\n])(?P<name>vmkit_\w+)\((?P<parameters>[^;{]*?)\);",
    re.DOTALL)


def _headers(tree):
    for path, text in tree.items():
        if path.startswith("include/vmkit/") and path.endswith(".h"):
            yield path, text


def functions(text):
    """Every function that a header declares: name, return type, parameters' names, comment."""
    for found in DECLARATION.finditer(text):
        if "typedef" in found["type"]:
            continue
        # A function pointer's own parameters are not the function's.
        flat = re.sub(r"\(\s*\*\s*(\w+)\s*\)\s*\([^)]*\)", r"\1", found["parameters"])
        names = [re.search(r"(\w+|\.{3})\s*(?:\[\w*\])?\s*$", part).group(1)
                 for part in flat.split(",") if part.strip() and part.strip() != "void"]
        line = text.count("\n", 0, found.start("name")) + 1
        yield found["name"], found["type"].strip(), names, found["comment"] or "", line


def contents(tree):
    """public headers hold what every compiler and binding understands"""
    for path, text in _headers(tree):
        code = strip(text, keep_includes=True)
        for number, line in lines(code):
            if line.lstrip().startswith("#"):
                if "include" in line and not ALLOWED_INCLUDES.match(line):
                    yield path, number, "includes more than <stdint.h> and <vmkit/…>"
                continue
            for pattern, what in FORBIDDEN:
                if pattern.search(line) and (path != GUEST or "inline" not in what):
                    yield path, number, f"has {what}: {line.strip()}"
        guard = "VMKIT_" + re.sub(r"\W", "_", path.split("/")[-1].upper())
        guard = {"VMKIT_VMKIT_H": "VMKIT_H"}.get(guard, guard)
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield path, 1, f"has no guard {guard}"
        if any(functions(text)) and 'extern "C" {' not in text:
            yield path, 1, 'has no extern "C"'


def comments(tree):
    """every public function says its parameters, its result and since when it is there"""
    for path, text in _headers(tree):
        for name, kind, names, comment, line in functions(text):
            said = re.findall(r"@param\s+(\w+)", comment)
            if "@brief" not in comment:
                yield path, line, f"{name} has no @brief"
            if said != names:
                yield path, line, f"{name} has the parameters {names}, and its comment {said}"
            if kind != "void" and "@return" not in comment:
                yield path, line, f"{name} says nothing of what it returns"
            if not re.search(r"@since\s+\d+\.\d+", comment):
                yield path, line, f"{name} does not say since when it is there"


RULES = [contents, comments]
