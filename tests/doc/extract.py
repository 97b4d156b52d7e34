# SPDX-License-Identifier: Apache-2.0
"""Reads the code blocks of a document.

A block's first word is its language. `file=NAME` makes it a whole file; `run` makes a shell block
one that is run, where the document's files are. Run as a program, it writes the files of a document
to a folder and runs its shell blocks there, so that the build tests what the document says.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Block:
    line: int
    language: str
    words: list
    text: str

    @property
    def file(self):
        """The name of the file that the block is, or None."""
        return next((word[5:] for word in self.words if word.startswith("file=")), None)


def read(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for match in _BLOCK.finditer(text):
        words = match.group(1).split()
        yield Block(text.count("\n", 0, match.start()) + 2, words[0] if words else "", words[1:],
                    match.group(2))


def without_blocks(text):
    """The prose, with blocks blanked out so that line numbers hold."""
    return _BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def environment():
    """What shell blocks run with: the distribution's tools before others of the same name."""
    return dict(os.environ, PATH="/usr/bin:" + os.environ.get("PATH", "/bin"))


def extract(path, folder):
    """Writes the files of a document and runs its shell blocks."""
    for block in read(path):
        if block.file:
            name = os.path.join(folder, block.file)
            with open(name, "w", encoding="utf-8") as file:
                file.write(block.text)
        if block.language == "sh" and "run" in block.words:
            subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], cwd=folder, check=True,
                           stdin=subprocess.DEVNULL, env=environment())


if __name__ == "__main__":
    extract(sys.argv[1], sys.argv[2])
