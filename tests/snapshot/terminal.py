# SPDX-License-Identifier: Apache-2.0
"""vmkit-snapshot on a terminal: it shows a bar, and Ctrl-C ends it. Arguments: the tool, and a
folder with a file "merged", over which it is to write."""

import os
import pty
import random
import signal
import sys

import writer

PAGES = 16384


def make_large(path):
    """Pages that do not compress, and that are further apart from each other than zlib looks."""
    chance = random.Random(1)
    pages = [chance.randbytes(writer.PAGE) for _ in range(64)]
    writer.write(path, "x86_64", b"".join(pages[i % 64] for i in range(PAGES)), [])


def main(tool, folder):
    large = os.path.join(folder, "large")
    make_large(large)
    child, terminal = pty.fork()
    if child == 0:
        # Whoever starts the tests in the background has it ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(tool, [tool, "merge", "--no-sync", "--level", "9", "-o",
                        os.path.join(folder, "merged"), large])
    seen = b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        # Ctrl-C, as soon as there is a bar that is not at its end.
        if b"%" not in seen and b"%" in seen + data:
            os.write(terminal, b"\x03")
        seen += data
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(seen)
    assert b"merging [" in seen, "there is no bar"
    assert b"100 %" not in seen, "it was done before it was interrupted"
    assert b"cancelled" in seen, "it does not say that it was cancelled"
    assert status == 130, f"status {status}"


if __name__ == "__main__":
    main(*sys.argv[1:])
