# SPDX-License-Identifier: Apache-2.0
"""doc/snapshot-format.md, a reader and a writer that were written after it, the library, and the
files that were kept agree. Argument: vmkit-snapshot. Prints TAP."""

import hashlib
import os
import random
import subprocess
import sys
import tempfile

import reader
import writer
from reader import PAGE

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")

# Digests of the memories of the files that were kept.
_FULL = "9f6b98082b267b8b532879a4f134a6f49fe5cd4ce55221f1f8ba233dddb193ac"
KEPT = {
    "1-full": _FULL,
    "1-zlib": _FULL,
    "1-child": "f57e38fb3067cf83bc09d3c2012553662f15f03121c19117344f1c4c60e27334",
}


def kept(name):
    return os.path.join(GOLDEN, name + ".snapshot")


def tiles(layout, size):
    """The fields stand one behind the other, and fill it."""
    at = 0
    for name, offset, bytes_ in layout:
        assert offset == at, f"{name} is at {offset}, and what is before it ends at {at}"
        at += bytes_
    assert at == size, f"{at} bytes of {size}"


def memory_of(name):
    full = reader.Snapshot(kept("1-full"))
    return reader.Snapshot(kept(name), [full]).memory()


def check_kept(name):
    digest = hashlib.sha256(memory_of(name)).hexdigest()
    assert digest == KEPT[name], digest


def check_sections():
    sections = reader.Snapshot(kept("1-zlib")).sections
    assert sections["state"]["content"] == b"abc" and sections["note"]["version"] == 3


def check_damage():
    """The reader itself finds damage: one bit in every kind of part."""
    with open(kept("1-full"), "rb") as file:
        good = file.read()
    places = [0, 8, 25, 70, 3000, 4095, 4096 + 100, len(good) - 20, len(good) - 100] + [
        entry["offset"] for entry in reader.Snapshot(kept("1-full")).sections.values()]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "damaged")
        for place in places:
            with open(path, "wb") as file:
                file.write(good[:place] + bytes([good[place] ^ 4]) + good[place + 1:])
            try:
                reader.Snapshot(path)
            except reader.Bad:
                continue
            raise AssertionError(f"a bit of byte {place} makes no difference")


class Tool:
    def __init__(self, path):
        self.path = path

    def run(self, *arguments):
        result = subprocess.run([self.path, *arguments], capture_output=True, check=False)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout

    def check_reading(self, level, way):
        """What the library writes, the reader reads."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "merged")
            options = ["merge", "--no-sync", "--level", str(level), "-o"]
            files = [kept("1-zlib"), kept("1-child")]
            if way == "pipe":
                with open(path, "wb") as file:
                    file.write(self.run(*options, "-", *files))
            else:
                self.run(*options, path, *files)
            merged = reader.Snapshot(path)
            assert merged.memory() == memory_of("1-child")
            assert merged.header["depth"] == 0 and merged.header["storage"] == (level > 0)
            assert merged.sections["state"]["content"] == b"abcd"

    def check_writing(self, level):
        """What the writer writes, the library takes, and would have written itself."""
        chance = random.Random(level)
        pages = [bytes(PAGE)] * 150
        for start, count in ((0, 1), (17, 3), (35, 40), (90, 1), (106, 1), (149, 1)):
            for number in range(start, start + count):
                pages[number] = bytes(chance.choices(range(1 << chance.randrange(1, 9)), k=PAGE))
        sections = [("state", 1, reader.REQUIRED, b"x" * 13), ("empty", 2, 0, b"")]
        with tempfile.TemporaryDirectory() as folder:
            path, again = os.path.join(folder, "a"), os.path.join(folder, "b")
            writer.write(path, "x86_64", b"".join(pages), sections, level)
            self.run("verify", path)
            self.run("merge", "--no-sync", "--level", str(level), "-o", again, path)
            with open(path, "rb") as one, open(again, "rb") as other:
                assert one.read() == other.read()
            identity = reader.Snapshot(path).identity.hex()
            assert f"identity      {identity}\n" in self.run("info", path).decode()


def cases(tool):
    for layout, size, name in ((reader.HEADER, reader.HEADER_SIZE, "header"),
                               (reader.ENTRY, reader.ENTRY_SIZE, "entry"),
                               (reader.FOOTER, reader.FOOTER_SIZE, "footer")):
        yield f"the document's fields fill the {name}", lambda l=layout, s=size: tiles(l, s)
    for name in KEPT:
        yield f"the reader reads {name}", lambda n=name: check_kept(n)
    yield "the reader finds the sections", check_sections
    yield "the reader finds damage", check_damage
    for level in (0, 1, 6, 9):
        for way in ("file", "pipe"):
            yield (f"the reader reads a {way} that the library wrote at level {level}",
                   lambda l=level, w=way: tool.check_reading(l, w))
    for level in (0, 1, 6, 9):
        yield (f"the library reads and would write what the writer wrote at level {level}",
               lambda l=level: tool.check_writing(l))


def main(path):
    failed = 0
    listed = list(cases(Tool(path)))
    print(f"1..{len(listed)}")
    for number, (name, run) in enumerate(listed, 1):
        try:
            run()
            print(f"ok {number} - {name}")
        except (AssertionError, reader.Bad, OSError) as error:
            failed += 1
            print(f"not ok {number} - {name}")
            print("# " + str(error).replace("\n", "\n# "))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
