# SPDX-License-Identifier: Apache-2.0
"""The builds that the suites run on: one folder each under build-tests/."""

import json
import os
import re
import shutil

import jobs

# GCC's sanitizers are known to bring warnings about code that is right: these builds show none to
# be errors, and the others do.
_SANITIZED = ["-Db_lundef=false", "-Dbuildtype=debugoptimized"]

# What a build folder was made with.
_OPTIONS = "setup-options.json"

# Name: environment and options of `meson setup`.
VARIANTS = {
    "gcc": ({"CC": "gcc"}, ["--werror"]),
    "clang": ({"CC": "clang"}, ["--werror"]),
    "asan": ({"CC": "gcc"}, ["-Db_sanitize=address,undefined"] + _SANITIZED),
    "tsan": ({"CC": "gcc"}, ["-Db_sanitize=thread"] + _SANITIZED),
}

# What a test of the variant runs with. A finding of a sanitizer ends the test with a status.
ENVIRONMENTS = {
    "asan": {
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "CK_TIMEOUT_MULTIPLIER": "4",
    },
    # GLib's own allocator of small pieces synchronises where the sanitizer does not see it.
    "tsan": {
        "G_SLICE": "always-malloc",
        "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
        "CK_TIMEOUT_MULTIPLIER": "4",
    },
}


_THREADS = re.compile(r"^(pthread_create|vmkit_\w*snapshot\w*)\b", re.MULTILINE)


def has_threads(program):
    """Whether a program may have more than one thread: it names pthread_create(), itself or with the
    library inside, or a function of snapshots, the only ones of the shared library that start any
    (tests/lint/rooms.py holds it to that)."""
    status, text, _ = jobs.run(["nm", "--format=just-symbols", program], 60)
    return status != 0 or _THREADS.search(text) is not None


def _absolute(folder, word):
    path = os.path.join(folder, word)
    return path if "/" in word and os.path.exists(path) else word


class Builds:
    def __init__(self, top, log):
        self.top = top
        self.log = log

    def folder(self, variant):
        return os.path.join(self.top, "build-tests", variant)

    @staticmethod
    def _is_configured(folder, options):
        """Whether the folder is there, with the options that it would be made with now."""
        try:
            with open(os.path.join(folder, _OPTIONS), encoding="utf-8") as file:
                return json.load(file) == options
        except (OSError, ValueError):
            return False

    def build(self, variant, workers):
        """Builds the variant. Returns None, or what went wrong."""
        folder = self.folder(variant)
        settings, options = VARIANTS[variant]
        env = dict(os.environ, **settings)
        output = ""
        if not self._is_configured(folder, options):
            shutil.rmtree(folder, ignore_errors=True)
            status, output, ending = jobs.run(
                ["meson", "setup", *options, folder, self.top], 300, env=env)
            if status != 0:
                return ending or output
            with open(os.path.join(folder, _OPTIONS), "w", encoding="utf-8") as file:
                json.dump(options, file)
        status, text, ending = jobs.run(["nice", "-n", "10", "ninja", "-j", str(workers), "-C", folder],
                                      1800, env=env)
        self.log.write(f"==== build {variant}\n{output}{text}\n")
        return None if status == 0 else ending or text

    def tests(self, variant, suite):
        """The tests that meson knows in a suite, as `meson introspect --tests` gives them."""
        status, text, _ = jobs.run(["meson", "introspect", "--tests", self.folder(variant)], 60)
        if status != 0:
            raise RuntimeError(f"meson introspect: {text}")
        found = [test for test in json.loads(text)
                 if any(name.split(":")[-1] == suite for name in test["suite"])]
        folder = self.folder(variant)
        for test in found:
            # meson starts a test in its build folder, and names what it built from there.
            test["workdir"] = test.get("workdir") or folder
            test["cmd"] = [_absolute(folder, word) for word in test["cmd"]]
        return found
