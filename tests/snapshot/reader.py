# SPDX-License-Identifier: Apache-2.0
"""A reader of snapshot files, written after doc/snapshot-format.md, from which it takes the places
of all fields. It shares nothing with the library, and checks all that the document says.

    python3 tests/snapshot/reader.py FILE [PARENT...]

prints what the file is, and a digest of its memory."""

import hashlib
import os
import re
import sys
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = 4096
CHUNK_PAGES = 32
HEADER_SIZE = 4096
FOOTER_SIZE = 64
ENTRY_SIZE = 64
HEADER_MAGIC = bytes.fromhex("89564d4b49540d0a")
FOOTER_MAGIC = bytes.fromhex("89564d4b454e440a")
ZERO, DATA, PARENT = range(3)
REQUIRED, STORAGE = 1, 2

_MASK = (1 << 64) - 1
_P1, _P2, _P3, _P4, _P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                           0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def _rotate(value, bits):
    return (value << bits | value >> (64 - bits)) & _MASK


def _round(lane, word):
    return _rotate((lane + word * _P2) & _MASK, 31) * _P1 & _MASK


def _words(data):
    return memoryview(data).cast("Q") if sys.byteorder == "little" else [
        int.from_bytes(data[i:i + 8], "little") for i in range(0, len(data), 8)]


def xxh64(data, seed=0):
    """The checksum, as its specification has it."""
    data = bytes(data)
    whole = len(data) & ~31
    if whole:
        lanes = [(seed + _P1 + _P2) & _MASK, (seed + _P2) & _MASK, seed, (seed - _P1) & _MASK]
        words = _words(data[:whole])
        for i in range(0, len(words), 4):
            lanes = [_round(lane, words[i + j]) for j, lane in enumerate(lanes)]
        value = sum(_rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        value = (seed + _P5) & _MASK
    value = (value + len(data)) & _MASK
    at = whole
    while at + 8 <= len(data):
        word = int.from_bytes(data[at:at + 8], "little")
        value = (_rotate(value ^ _round(0, word), 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= len(data):
        word = int.from_bytes(data[at:at + 4], "little")
        value = (_rotate(value ^ word * _P1 & _MASK, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        value = _rotate(value ^ byte * _P5 & _MASK, 11) * _P1 & _MASK
    value = (value ^ value >> 33) * _P2 & _MASK
    value = (value ^ value >> 29) * _P3 & _MASK
    return value ^ value >> 32


class Bad(Exception):
    """The file is not what the document says."""


def check(holds, what):
    if not holds:
        raise Bad(what)


def read_layout(heading):
    """Name, offset and size of each field of a table of the document."""
    with open(os.path.join(TOP, "doc", "snapshot-format.md"), encoding="utf-8") as file:
        part = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", file.read(), re.DOTALL | re.MULTILINE)[1]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", part, re.MULTILINE)
    return [(name, int(offset), int(size)) for name, offset, size in rows]


HEADER = read_layout("Header")
ENTRY = read_layout("Table of sections")
FOOTER = read_layout("Footer")
TEXT = {"magic", "name", "architecture", "parent", "identity", "zeros"}


def fields(layout, data):
    return {name: bytes(data[offset:offset + size]) if name in TEXT else
            int.from_bytes(data[offset:offset + size], "little") for name, offset, size in layout}


def put(layout, data, name, value):
    """Change a field of some bytes."""
    for field, offset, size in layout:
        if field == name:
            value = value.to_bytes(size, "little") if isinstance(value, int) else value
            data[offset:offset + size] = value.ljust(size, b"\0")


def text(padded, letters):
    name = padded.rstrip(b"\0").decode("ascii", "replace")
    check(re.fullmatch(letters + "+", name) and len(name) < len(padded), f"the name {padded}")
    return name


def identify(header, entries):
    """The identity, of the header's bytes and those of each entry."""
    data = bytearray(header[:HEADER_SIZE - 8])
    put(HEADER, data, "storage", 0)
    put(HEADER, data, "chunk_pages", 0)
    for entry in entries:
        if not fields(ENTRY, entry)["flags"] & STORAGE:
            entry = bytearray(entry)
            put(ENTRY, entry, "offset", 0)
            data += entry
    return b"".join(xxh64(data, seed).to_bytes(8, "little") for seed in (0, 1))


def align(offset):
    return (offset + 7) & ~7


class Snapshot:
    """A whole file, read and checked."""

    def __init__(self, path, parents=()):
        with open(path, "rb") as file:
            self.data = file.read()
        self._read_header()
        self._read_table()
        self._read_index()
        self._read_pages()
        self.parent = None
        if self.header["depth"]:
            self.parent = next((parent for parent in parents
                                if parent.identity == self.header["parent"]), None)
            check(self.parent, "the parent was not given")
            for name, less in (("depth", 1), ("memory_size", 0), ("architecture", 0)):
                mine, other = self.header[name], self.parent.header[name]
                check((mine - less if less else mine) == other, f"the parent's {name}")

    def _read_header(self):
        check(len(self.data) >= HEADER_SIZE + FOOTER_SIZE, "the file was cut")
        self.header = header = fields(HEADER, self.data)
        check(header["magic"] == HEADER_MAGIC, "no snapshot")
        check(header["version"] == 1, f"version {header['version']}")
        check(header["checksum"] == xxh64(self.data[:HEADER_SIZE - 8]), "the header's checksum")
        check(header["header_size"] == HEADER_SIZE and header["page_size"] == PAGE, "sizes")
        check(header["storage"] in (0, 1), "storage")
        check(header["chunk_pages"] == (0, CHUNK_PAGES)[header["storage"]], "chunk_pages")
        check(header["memory_size"] % PAGE == 0 and header["memory_size"] <= 1 << 52, "memory_size")
        check(header["depth"] <= 64 and bool(header["depth"]) == any(header["parent"]), "depth")
        check(not any(header["zeros"]), "zeros")
        self.architecture = text(header["architecture"], "[a-z0-9_]")

    def _read_table(self):
        data = self.data
        footer = fields(FOOTER, data[-FOOTER_SIZE:])
        check(footer["magic"] == FOOTER_MAGIC, "no footer")
        check(footer["checksum"] == xxh64(data[-FOOTER_SIZE:-8]), "the footer's checksum")
        check(footer["file_size"] == len(data) and footer["reserved"] == 0, "the footer")
        table = data[footer["table_offset"]:-FOOTER_SIZE]
        check(len(table) == footer["section_count"] * ENTRY_SIZE <= 256 * ENTRY_SIZE, "the table")
        check(footer["table_checksum"] == xxh64(table), "the table's checksum")
        raw = [table[i:i + ENTRY_SIZE] for i in range(0, len(table), ENTRY_SIZE)]
        self.identity = identify(data, raw)
        check(self.identity == footer["identity"], "the identity")
        self.sections = {}
        at = None
        for entry in (fields(ENTRY, entry) for entry in raw):
            name = text(entry["name"], "[a-z0-9.-]")
            check(name not in self.sections and entry["reserved"] == 0, name)
            check(entry["flags"] & ~(REQUIRED | STORAGE) == 0 and entry["version"], name)
            check(at is None or entry["offset"] == at, f"the place of {name}")
            end = entry["offset"] + entry["size"]
            at = align(end)
            entry["content"] = data[entry["offset"]:end]
            check(len(entry["content"]) == entry["size"] <= 1 << 32, f"the size of {name}")
            check(entry["checksum"] == xxh64(entry["content"]), f"the checksum of {name}")
            check(not any(data[end:at]), f"the bytes behind {name}")
            self.sections[name] = entry
        check(at == footer["table_offset"], "the place of the table")
        own = ["memory.index", "memory.sums", "memory.chunks"][:2 + self.header["storage"]]
        check(list(self.sections)[-len(own):] == own, "the memory's sections")
        check([name for name in self.sections if "." in name] == own, "names with dots")
        for name, entry in self.sections.items():
            if "." in name:
                flags = REQUIRED | STORAGE if name == "memory.chunks" else REQUIRED
                check(entry["version"] == 1 and entry["flags"] == flags, name)
            else:
                check(not entry["flags"] & STORAGE, name)

    def _numbers(self, section, size):
        content = self.sections[section]["content"]
        check(len(content) % size == 0, section)
        return [int.from_bytes(content[i:i + size], "little") for i in range(0, len(content), size)]

    def _read_index(self):
        self.states = []
        before = None
        for extent in self._numbers("memory.index", 8):
            count, state = extent >> 2, extent & 3
            check(count and state != before and state <= (PARENT if self.header["depth"] else DATA),
                  "an extent")
            check(len(self.states) + count <= self.header["memory_size"] // PAGE, "an extent's size")
            self.states += [state] * count
            before = state
        check(len(self.states) == self.header["memory_size"] // PAGE, "the size of the memory")

    def _read_chunks(self, count):
        at, left, stored = HEADER_SIZE, count, b""
        for size in self._numbers("memory.chunks", 4):
            wanted = min(left, CHUNK_PAGES) * PAGE
            chunk = self.data[at:at + size]
            check(0 < size <= wanted and len(chunk) == size, "the size of a chunk")
            if size < wanted:
                stream = zlib.decompressobj()
                chunk = stream.decompress(chunk, wanted)
                check(stream.eof and not stream.unused_data and not stream.unconsumed_tail,
                      "a chunk")
            check(len(chunk) == wanted, "a chunk's pages")
            stored += chunk
            at += size
            left -= wanted // PAGE
        check(left == 0, "the number of chunks")
        return stored, at

    def _read_pages(self):
        sums = self._numbers("memory.sums", 8)
        check(len(sums) == self.states.count(DATA), "the number of checksums")
        end = HEADER_SIZE + len(sums) * PAGE
        stored = self.data[HEADER_SIZE:end]
        if self.header["storage"]:
            stored, end = self._read_chunks(len(sums))
        first = next(iter(self.sections.values()))["offset"]
        check(align(end) == first and not any(self.data[end:first]), "the end of the data")
        self.pages = [stored[i:i + PAGE] for i in range(0, len(stored), PAGE)]
        check([xxh64(page) for page in self.pages] == sums, "the checksum of a page")

    def memory(self):
        """All of it, through all parents."""
        base = self.parent.memory() if self.parent else None
        pages = iter(self.pages)
        parts = []
        for number, state in enumerate(self.states):
            parts.append(next(pages) if state == DATA else bytes(PAGE) if state == ZERO else
                         base[number * PAGE:(number + 1) * PAGE])
        return b"".join(parts)


def main(paths):
    snapshots = []
    for path in reversed(paths):
        snapshots.append(Snapshot(path, snapshots))
    last = snapshots[-1]
    print("architecture", last.architecture)
    print("identity", last.identity.hex())
    print("memory", last.header["memory_size"], hashlib.sha256(last.memory()).hexdigest())
    for name, section in last.sections.items():
        print("section", name, section["version"], section["size"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except Bad as bad:
        sys.exit(f"{sys.argv[1]}: {bad}")
