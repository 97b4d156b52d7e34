# SPDX-License-Identifier: Apache-2.0
"""The tree as a dictionary from path to text, and C without its comments and strings."""

import os
import re
import subprocess

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def _blank(match):
    """Keeps line breaks, so that line numbers hold, and the quotes of a string."""
    token = match.group(0)
    if token[0] in "\"'":
        return token[0] + " " * (len(token) - 2) + token[0]
    return re.sub(r"[^\n]", " ", token)


def strip(text, keep_includes=False):
    """C source with comments and the insides of strings blanked out."""
    stripped = _TOKEN.sub(_blank, text)
    if not keep_includes:
        return stripped
    lines = zip(text.split("\n"), stripped.split("\n"))
    return "\n".join(old if new.lstrip().startswith("#include") else new for old, new in lines)


def lines(text):
    return enumerate(text.split("\n"), 1)


def _listed(top):
    try:
        output = subprocess.run(
            ["git", "-C", top, "ls-files", "-z", "-co", "--exclude-standard"],
            check=True, capture_output=True).stdout
        return [name for name in output.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        pass
    # Not a git checkout: a release archive.
    names = []
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders
                      if not name.startswith("build") and name not in (".git", "__pycache__")]
        names += [os.path.relpath(os.path.join(folder, name), top) for name in files]
    return names


def read_tree(top):
    tree = {}
    for name in sorted(_listed(top)):
        path = os.path.join(top, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            data = file.read()
        if b"\0" not in data:
            tree[name] = data.decode("utf-8", "replace")
    return tree
