# SPDX-License-Identifier: Apache-2.0
"""What the documents say of the tree is so: links, the list of errors, the table of system calls.

One TAP case a rule and document. Argument: the top of the tree.
"""

import glob
import os
import re
import sys

import extract

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_NAMED_FILE = re.compile(r"`((?:lib|include|tests|examples|doc)/[\w./*{},<>-]+)`")
_FUNCTION = re.compile(r"`(vmkit_\w+)(?:\(\))?`")
_STRING = re.compile(r'(?:(?:"(?:\\.|[^"\\])*"|\bPRI[xuid]\d+\b)\s*)+')
_STRING_PART = re.compile(r'"((?:\\.|[^"\\])*)"|\b(PRI[xuid]\d+)\b')
_CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j)?[a-zA-Z]|%(?=%d)|%d")


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()


def documents(top):
    return sorted(glob.glob(os.path.join(top, "*.md")) + glob.glob(os.path.join(top, "doc", "*.md")))


def anchor(heading):
    """The anchor that a heading gets where documents are shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-")


def broken_links(top, path):
    text = extract.without_blocks(read(path))
    for number, line in enumerate(text.split("\n"), 1):
        for target in _LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, wanted = target.partition("#")
            other = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not os.path.exists(other):
                yield f"line {number}: {target} leads nowhere"
            elif wanted and wanted not in map(anchor, _HEADING.findall(
                    extract.without_blocks(read(other)))):
                yield f"line {number}: {target}: there is no such heading"


def unknown_names(top, path):
    """Files and functions that the prose names and that are not there."""
    text = extract.without_blocks(read(path))
    exported = set(re.findall(r"\bvmkit_\w+(?=;)", read(top, "lib", "vmkit.map")))
    headers = "".join(read(name) for name in glob.glob(os.path.join(top, "include/vmkit/*.h")))
    known = exported | set(re.findall(r"\bvmkit_\w+", headers))
    for number, line in enumerate(text.split("\n"), 1):
        for name in _NAMED_FILE.findall(line):
            pattern = re.sub(r"<\w+>", "*", name)
            parts = re.match(r"(.*)\{(.*)\}(.*)", pattern)
            each = [parts[1] + word + parts[3] for word in parts[2].split(",")] if parts else [pattern]
            for one in each:
                if not glob.glob(os.path.join(top, one)):
                    yield f"line {number}: there is no {one}"
        for name in _FUNCTION.findall(line):
            if name not in known and not any(word.startswith(name) for word in known):
                yield f"line {number}: there is no {name}"


def kinds(top):
    """Name and number of each kind by its constant, from the header and the library's names."""
    header = read(top, "include/vmkit/error.h")
    names = dict(re.findall(r'\[(VMKIT_ERROR_\w+)\] = "([\w-]+)"', read(top, "lib/util/error.c")))
    return {constant: (names.get(constant), int(number))
            for constant, number in re.findall(r"(VMKIT_ERROR_\w+) = (\d+)", header)}


def wrong_kinds(top):
    text = read(top, "doc/errors.md")
    sections = re.findall(r"^### `([\w-]+)`\n\n`(VMKIT_ERROR_\w+)`, (\d+)\.", text, re.MULTILINE)
    documented = {constant: (name, int(number)) for name, constant, number in sections}
    for constant in sorted(set(kinds(top).items()) ^ set(documented.items())):
        yield f"{constant[0]}: {constant[1]} is only in one of error.h and errors.md"


def wrong_errnos(top):
    header = re.search(r"closed list:(.*?)\.\n", read(top, "include/vmkit/error.h"), re.DOTALL)[1]
    source = re.search(r"public_errnos\[\] = \{(.*?)\}", read(top, "lib/util/error.c"), re.DOTALL)[1]
    table = re.search(r"^## Errnos$(.*?)^## ", read(top, "doc/errors.md"), re.DOTALL | re.MULTILINE)[1]
    in_header, in_source = (set(re.findall(r"\bE[A-Z0-9]+\b", text)) for text in (header, source))
    in_table = set(re.findall(r"^\| `(E\w+)` \|", table, re.MULTILINE))
    for name in sorted(in_header ^ in_table):
        yield f"{name} is only in one of error.h and errors.md"
    for name in sorted(in_source ^ in_table):
        yield f"{name} is only in one of error.c and errors.md"


def formats(top):
    """A pattern for each message that the library makes: each string of a call, pieces joined."""
    for path in glob.glob(os.path.join(top, "lib/**/*.c"), recursive=True):
        # BAD() and VMK_FORMAT_BAD() are ways of saying whose file it is.
        for call in re.finditer(r"\b(BAD|VMK_FORMAT_BAD|vmk_error_set(?:_errno|_known)?|vmk_kvm_fail)"
                                r"\((.*?)\);", read(path), re.DOTALL):
            for string in _STRING.findall(call[2]):
                text = "".join(part if part else "%d" for part, _ in _STRING_PART.findall(string))
                text = text.replace('\\"', '"')
                text = _CONVERSION.sub("\0", text)
                pattern = ".*".join(map(re.escape, re.sub("\0+", "\0", text).split("\0")))
                yield ((".*: " if call[1].endswith("BAD") else "") + pattern +
                       (": .*" if call[1].endswith(("errno", "known", "fail")) else ""))


def unmade_messages(top):
    # Not those that are all but empty and match whatever there is.
    patterns = [pattern for pattern in formats(top) if len(re.sub(r"\W", "", pattern)) > 6]
    text = read(top, "doc/errors.md")
    quoted = re.findall(r"^> (.*)$", text, re.MULTILINE)
    if len(quoted) < len(kinds(top)):
        yield f"{len(quoted)} messages for {len(kinds(top))} kinds"
    for message in quoted:
        if not any(re.fullmatch(pattern, message) for pattern in patterns):
            yield f"the library has no such message: {message}"


def system_calls(top):
    """Whether each call is served, by its name."""
    text = read(top, "lib/arch/x86_64/syscall_table.inc")
    return {name: not unserved for unserved, name in re.findall(
        r"^VMK_SYSCALL(_UNSERVED)?\(\d+, (\w+)\)", text, re.MULTILINE)}


def wrong_system_calls(top):
    """Each call of the table stands once in the document, among the served or among the others."""
    text = read(top, "doc/sandbox.md")
    parts = {True: re.search(r"^### Served$(.*?)^#", text, re.DOTALL | re.MULTILINE),
             False: re.search(r"^### Not served$(.*?)^#", text, re.DOTALL | re.MULTILINE)}
    seen = {}
    for served, part in parts.items():
        if not part:
            yield "there is no section of the " + ("served" if served else "others")
            return
        # The first cell of a row names the calls.
        for row in re.findall(r"^\| (.*?) \|", part[1], re.MULTILINE):
            for name in re.findall(r"`(\w+)`", row):
                if name in seen:
                    yield f"{name} stands there twice"
                seen[name] = served
    table = system_calls(top)
    for name in sorted(set(table) | set(seen)):
        if name not in seen:
            yield f"{name} is missing ({'served' if table[name] else 'not served'})"
        elif name not in table:
            yield f"{name} is no system call"
        elif table[name] != seen[name]:
            yield f"{name} is {'served' if table[name] else 'not served'}"


def rules(top):
    for path in documents(top):
        name = os.path.relpath(path, top)
        yield f"{name}: its links lead somewhere", broken_links(top, path)
        yield f"{name}: the files and functions that it names are there", unknown_names(top, path)
    yield "doc/errors.md has each kind with its name and number", wrong_kinds(top)
    yield "doc/errors.md has each errno of the closed list", wrong_errnos(top)
    yield "doc/errors.md quotes messages that the library has", unmade_messages(top)
    yield "doc/sandbox.md has each system call where it belongs", wrong_system_calls(top)


def main(top):
    results = [(name, list(found)) for name, found in rules(top)]
    print(f"1..{len(results)}")
    for number, (name, found) in enumerate(results, 1):
        print(f"{'not ' if found else ''}ok {number} - {name}")
        for line in found:
            print(f"# {line}")
    return 1 if any(found for _, found in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
