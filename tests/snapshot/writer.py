# SPDX-License-Identifier: Apache-2.0
"""A writer of full snapshot files, written after doc/snapshot-format.md, to the last byte of what
it says that the library's writer decides."""

import zlib

from reader import (CHUNK_PAGES, DATA, ENTRY, ENTRY_SIZE, FOOTER, FOOTER_MAGIC, FOOTER_SIZE, HEADER,
                    HEADER_MAGIC, HEADER_SIZE, PAGE, REQUIRED, STORAGE, ZERO, align, identify, put,
                    xxh64)

GAP_PAGES = 15


def states_of(pages):
    """Zero and data, short gaps between data being data too."""
    states = [DATA if any(page) else ZERO for page in pages]
    data = [number for number, state in enumerate(states) if state == DATA]
    for one, next_one in zip(data, data[1:]):
        if next_one - one - 1 <= GAP_PAGES:
            states[one:next_one] = [DATA] * (next_one - one)
    return states


def index_of(states):
    extents = []
    for state in states:
        if extents and extents[-1][1] == state:
            extents[-1][0] += 1
        else:
            extents.append([1, state])
    return b"".join((count << 2 | state).to_bytes(8, "little") for count, state in extents)


def pack(pages, level):
    """The data part, and the sizes of its chunks."""
    if not level:
        return b"".join(pages), None
    data, sizes = b"", b""
    for i in range(0, len(pages), CHUNK_PAGES):
        chunk = b"".join(pages[i:i + CHUNK_PAGES])
        packed = zlib.compress(chunk, level)
        chunk = packed if len(packed) < len(chunk) else chunk
        data += chunk
        sizes += len(chunk).to_bytes(4, "little")
    return data, sizes


def write(path, architecture, memory, sections, level=0):
    """`sections`: name, version, flags and content of each."""
    pages = [memory[i:i + PAGE] for i in range(0, len(memory), PAGE)]
    states = states_of(pages)
    stored = [page for page, state in zip(pages, states) if state == DATA]
    data, sizes = pack(stored, level)
    sums = {page: xxh64(page).to_bytes(8, "little") for page in set(stored)}
    sections = sections + [
        ("memory.index", 1, REQUIRED, index_of(states)),
        ("memory.sums", 1, REQUIRED, b"".join(sums[page] for page in stored))]
    if level:
        sections.append(("memory.chunks", 1, REQUIRED | STORAGE, sizes))

    header = bytearray(HEADER_SIZE)
    for name, value in {"magic": HEADER_MAGIC, "version": 1, "header_size": HEADER_SIZE,
                        "page_size": PAGE, "storage": int(level > 0), "memory_size": len(memory),
                        "chunk_pages": CHUNK_PAGES if level else 0,
                        "architecture": architecture.encode()}.items():
        put(HEADER, header, name, value)
    put(HEADER, header, "checksum", xxh64(header[:HEADER_SIZE - 8]))

    out = bytearray(header + data)
    entries = []
    for name, version, flags, content in sections:
        out += bytes(align(len(out)) - len(out))
        entry = bytearray(ENTRY_SIZE)
        for field, value in {"name": name.encode(), "version": version, "flags": flags,
                             "offset": len(out), "size": len(content),
                             "checksum": xxh64(content)}.items():
            put(ENTRY, entry, field, value)
        entries.append(entry)
        out += content
    out += bytes(align(len(out)) - len(out))

    table, footer = b"".join(entries), bytearray(FOOTER_SIZE)
    for field, value in {"magic": FOOTER_MAGIC, "table_offset": len(out),
                         "file_size": len(out) + len(table) + FOOTER_SIZE,
                         "section_count": len(entries), "identity": identify(header, entries),
                         "table_checksum": xxh64(table)}.items():
        put(FOOTER, footer, field, value)
    put(FOOTER, footer, "checksum", xxh64(footer[:FOOTER_SIZE - 8]))
    with open(path, "wb") as file:
        file.write(out + table + footer)
