# SPDX-License-Identifier: Apache-2.0
"""Which errnos the public headers document, and a header that makes a test's calls observed.

`observe.py list HEADER…` prints a line "FUNCTION ERRNO" for each pair that an @return names, and
"FUNCTION any" where a callback may choose. `observe.py header HEADER…` prints a header that leads each
call of a function that takes `ret_error` through observe.c; tests are compiled with it.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lint"))
import headers  # noqa: E402

_RETURN = re.compile(r"@return(.*?)(?=\n \*\s*\n|\n \* @|\*/)", re.DOTALL)
_OTHER = re.compile(r"\bAs (vmkit_\w+)\(\)")
_ERRNO = re.compile(r"-(E[A-Z0-9]+)\b")
_CALLBACK = re.compile(r"\bcallback\s+returned\b")


def functions(paths):
    """Every function that can fail: name, its declaration, its parameters' names, its @return."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        declared = {found["name"]: found["parameters"]
                    for found in headers.DECLARATION.finditer(text)}
        for name, _, names, comment, _ in headers.functions(text):
            if "ret_error" in names:
                said = _RETURN.search(comment)
                yield name, declared[name], names, re.sub(r"\s*\n \*\s*", " ", said[1])


def documented(said):
    """The errnos of each function; `said` holds each one's @return by name."""
    def of(name):
        found = set(_ERRNO.findall(said[name]))
        if _CALLBACK.search(said[name]):
            found.add("any")
        for other in _OTHER.findall(said[name]):
            found |= of(other)
        return found

    return {name: of(name) for name in said}


def print_list(paths):
    pairs = documented({name: said for name, _, _, said in functions(paths)})
    for name in sorted(pairs):
        for errno in sorted(pairs[name]):
            print(name, errno)


def print_header(paths):
    print('/* Written by tests/harness/observe.py. */\n#include "observe.h"\n\n#include <vmkit/vmkit.h>\n'
          "\n#include <stddef.h>\n")
    for name, parameters, names, _ in functions(paths):
        print(f"static inline int\nobserved_{name}(const char *observed_from, {parameters})\n{{\n"
              "    vmkit_error *observed_before = ret_error == NULL ? NULL : *ret_error;\n"
              f"    int observed_result = {name}({', '.join(names)});\n"
              f'    observe("{name}", observed_from, observed_result, observed_before, ret_error);\n'
              "    return observed_result;\n}\n"
              f"#define {name}(...) observed_{name}(__func__, __VA_ARGS__)\n")


if __name__ == "__main__":
    {"list": print_list, "header": print_header}[sys.argv[1]](sys.argv[2:])
