# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to its rules: one TAP case a rule. With --self-test, shows each rule samples that
it has to find, and samples that it has to leave alone."""

import os
import sys

import glib
import headers
import rooms
import samples
import source
import text

RULES = rooms.RULES + glib.RULES + headers.RULES + text.RULES


def case(number, good, name, details=()):
    print(f"{'' if good else 'not '}ok {number} - {name}")
    for detail in details:
        print(f"# {detail}")
    return good


def lint(top):
    tree = source.read_tree(top)
    good = True
    print(f"1..{len(RULES)}")
    for number, rule in enumerate(RULES, 1):
        found = [f"{path}:{line}: {message}" for path, line, message in rule(tree)]
        good &= case(number, not found, rule.__doc__, found)
    for note in text.notes(tree):
        print(f"# note: {note}")
    return good


def self_test(top):
    with open(os.path.join(top, ".clang-format"), encoding="utf-8") as file:
        style = file.read()
    known = {rule.__name__: rule for rule in RULES}
    untested = sorted(set(known) - {name for name, *_ in samples.SAMPLES})
    good = True
    print(f"1..{len(samples.SAMPLES) + 1}")
    for number, (name, path, content, bad) in enumerate(samples.SAMPLES, 1):
        found = list(known[name]({".clang-format": style, path: content}))
        found = [finding for finding in found if finding[0] == path]
        what = "finds" if bad else "leaves alone"
        # A number sign would begin a directive of TAP.
        sample = repr(content.strip()[:60]).replace("#", "(hash)")
        good &= case(number, bool(found) == bad, f"{name} {what} {sample}", found)
    return case(len(samples.SAMPLES) + 1, not untested, "every rule has samples", untested) and good


if __name__ == "__main__":
    TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(0 if (self_test if "--self-test" in sys.argv else lint)(TOP) else 1)
