# SPDX-License-Identifier: Apache-2.0
"""The code in the documents compiles, is formatted, and runs where it says so.

A C block is a piece of a file, or of a function that has the usual handles; either has to compile
without a warning. Shell blocks marked `run` are run in a folder that has the document's files. One
TAP case a block. Argument: the top of the tree.
"""

import os
import subprocess
import sys
import tempfile

import documents
import extract

INCLUDES = "".join(f"#include <{name}>\n" for name in [
    "vmkit/vmkit.h", "vmkit/guest.h", "errno.h", "fcntl.h", "poll.h", "pthread.h", "signal.h",
    "stdint.h", "stdio.h", "stdlib.h", "string.h", "sys/eventfd.h", "sys/random.h", "unistd.h"])
FUNCTION = ("void snippet(vmkit_vm *vm, vmkit_vcpu *vcpu, vmkit_sandbox_config *config,\n"
            "vmkit_sandbox *sandbox, vmkit_error *error);\n"
            "void snippet(vmkit_vm *vm, vmkit_vcpu *vcpu, vmkit_sandbox_config *config,\n"
            "vmkit_sandbox *sandbox, vmkit_error *error) {\n")
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-unused-parameter",
            "-Wno-unused-variable", "-Wno-unused-function", "-Wno-unused-but-set-variable", "-Werror",
            "-fsyntax-only"]


def compile_text(top, text):
    """The compiler's complaints about a text, or an empty string."""
    result = subprocess.run(
        ["gcc", "-x", "c", "-I", os.path.join(top, "include"), *WARNINGS, "-"],
        input=text, capture_output=True, text=True, check=False)
    return result.stderr if result.returncode else ""


def check_c(top, block):
    """A block that is no file is tried as a piece of one, then as the inside of a function."""
    if block.file:
        return compile_text(top, block.text)
    as_file = compile_text(top, INCLUDES + block.text)
    as_function = compile_text(top, INCLUDES + FUNCTION + block.text + "}\n") if as_file else ""
    return as_file + as_function if as_function else ""


def check_format(top, block):
    style = "file:" + os.path.join(top, ".clang-format")
    result = subprocess.run(["clang-format", "--style", style], input=block.text,
                            capture_output=True, text=True, check=False)
    if result.returncode or result.stdout == block.text:
        return result.stderr
    return "clang-format would have it so:\n" + result.stdout


def run_shell(block, folder):
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, text=True,
                            stdin=subprocess.DEVNULL, capture_output=True, check=False,
                            env=extract.environment())
    return "" if result.returncode == 0 else f"status {result.returncode}\n{result.stderr}"


def check_document(top, path, folder):
    blocks = list(extract.read(path))
    for block in blocks:
        if block.file:
            with open(os.path.join(folder, block.file), "w", encoding="utf-8") as file:
                file.write(block.text)
    for block in blocks:
        where = f"{os.path.relpath(path, top)}:{block.line}: "
        if block.language == "c":
            yield where + "compiles", check_c(top, block)
            # A front page may be terser than the code.
            if os.path.dirname(path) == os.path.join(top, "doc"):
                yield where + "is formatted", check_format(top, block)
        elif block.language == "sh" and "run" in block.words:
            yield where + "runs", run_shell(block, folder)


def main(top):
    number = failed = 0
    for path in documents.documents(top):
        with tempfile.TemporaryDirectory() as folder:
            for name, complaint in check_document(top, path, folder):
                number += 1
                failed += bool(complaint)
                print(f"{'not ' if complaint else ''}ok {number} - {name}")
                for line in complaint.splitlines():
                    print(f"# {line}")
    print(f"1..{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
