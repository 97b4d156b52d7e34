# SPDX-License-Identifier: Apache-2.0
"""What a room of lib/ may include and call: the architecture, held by a test."""

import posixpath
import re

from source import lines, strip

RANKS = {
    "util": 0,
    "kvm": 1, "mem": 1, "archive": 1, "disk": 1, "io": 1,
    "bus": 2, "arch": 2,
    "virtio": 3, "dev": 3, "boot": 3,
    "vm": 4,
    "sandbox": 5,
    "api": 6,
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
ARCH_MACRO = re.compile(r"\b__(?:x86_64|amd64|i386|aarch64|arm|riscv)(?:__)?\b")

# Headers that one room alone may include.
HOMES = {
    "linux/kvm.h": "kvm", "asm/kvm.h": "kvm", "asm/kvm_para.h": "kvm",
    "zlib.h": "archive", "libfdt.h": "arch",
}

# A terminal can be asked for its size and modes in no other way, and a stream may be one; nor can
# userfaultfd(2) be told of a range.
IOCTL_USERS = {"lib/sandbox/stream_fd.c", "lib/mem/demand.c"}

# What the library never calls: it would write to the embedder's streams, end its process, or
# change what belongs to the whole process.
FORBIDDEN = (
    "printf vprintf puts putchar perror psignal fprintf vfprintf fputs dprintf "
    "exit _exit _Exit quick_exit abort g_error g_print g_printerr g_warning g_critical g_message "
    "g_assert g_assert_not_reached g_debug g_info g_abort "
    "signal sigaction sigset sigprocmask raise kill setitimer alarm "
    "fork vfork system popen execve execv execvp posix_spawn clone "
    "chdir fchdir umask setenv putenv unsetenv setlocale setrlimit prctl").split()
CALL = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN) + r")\s*\(")
STREAM = re.compile(r"(?<![\w.>])(stdout|stderr|stdin)\b(?!\s*[:=])")

# What may start a thread, the loop of a machine among it: it works for snapshots alone, and nothing
# starts the loop. Before another part of the library does, tests/harness/variants.py has to know which
# public functions lead there: with TSan, programs without threads are left out.
THREAD_USERS = re.compile(r"lib/(util/thread\.|archive/|mem/demand\.|vm/snapshot_|io/loop\.)")
THREAD = re.compile(r"\b(vmk_thread_start|vmk_loop_start|pthread_create|thrd_create|clone3?|"
                    r"g_thread_(?:try_)?new)\s*\(")


def _sources(tree):
    for path, text in tree.items():
        if path.startswith("lib/") and path.endswith((".c", ".h", ".inc", ".S")):
            yield path, text


def _room(path):
    return path.split("/")[1]


def _target(path, name, tree):
    """The path under lib/ that a quoted include means."""
    beside = posixpath.join(posixpath.dirname(path), name)
    if beside in tree:
        return beside
    if "/" not in name:
        # The architecture's own folder is on the include path.
        return "lib/arch/" + name
    return "lib/" + name


def ranks(tree):
    """a room includes only rooms of a lower rank"""
    for path, text in _sources(tree):
        room = _room(path)
        if room not in RANKS:
            yield path, 1, f"the room '{room}' has no rank"
            continue
        for number, line in lines(strip(text, keep_includes=True)):
            found = INCLUDE.match(line)
            if not found or found.group(1) == "<":
                continue
            name = found.group(2)
            if ".." in name:
                yield path, number, f"includes {name}: rooms are named from lib/"
                continue
            other = _room(_target(path, name, tree))
            if other not in RANKS:
                yield path, number, f"includes {name}, of no room"
            elif other != room and RANKS[other] >= RANKS[room]:
                yield path, number, (f"{room} (rank {RANKS[room]}) includes {name} "
                                     f"(rank {RANKS[other]})")


def fence(tree):
    """an architecture stays inside of lib/arch/<name>/"""
    for path, text in _sources(tree):
        own = path.split("/")[2] if path.startswith("lib/arch/") and path.count("/") > 2 else None
        per_arch = own is not None or (
            path.startswith("lib/kvm/") and re.search(r"x86_64|aarch64", path))
        code = strip(text, keep_includes=True)
        for number, line in lines(code):
            found = INCLUDE.match(line)
            if found:
                arch = re.match(r"arch/(x86_64|aarch64)/", found.group(2))
                if arch and arch.group(1) != own:
                    yield path, number, f"includes {found.group(2)}: include it without arch/…/"
            elif not per_arch and ARCH_MACRO.search(line):
                yield path, number, "asks which architecture it is built for"


def homes(tree):
    """KVM's, zlib's and libfdt's headers and ioctl() each have one home"""
    for path, text in _sources(tree):
        room = _room(path)
        for number, line in lines(strip(text, keep_includes=True)):
            found = INCLUDE.match(line)
            if found:
                home = HOMES.get(found.group(2))
                if home and home != room and path not in IOCTL_USERS:
                    yield path, number, f"includes {found.group(2)}, which only lib/{home} does"
            elif room != "kvm" and path not in IOCTL_USERS and re.search(r"(?<![\w.>])ioctl\s*\(", line):
                yield path, number, "calls ioctl(), which only lib/kvm does"


def calls(tree):
    """the library calls nothing that acts on the whole process or its streams"""
    for path, text in _sources(tree):
        for number, line in lines(strip(text)):
            for found in CALL.finditer(line):
                yield path, number, f"calls {found.group(1)}()"
            found = STREAM.search(line)
            if found:
                yield path, number, f"uses {found.group(1)}"


def threads(tree):
    """the library starts threads for snapshots alone, as the choice of TSan's tests takes it to"""
    for path, text in _sources(tree):
        if THREAD_USERS.match(path):
            continue
        for number, line in lines(strip(text)):
            found = THREAD.search(line)
            if found:
                yield path, number, f"starts a thread with {found.group(1)}()"


RULES = [ranks, fence, homes, calls, threads]
