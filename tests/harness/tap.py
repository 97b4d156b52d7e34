# SPDX-License-Identifier: Apache-2.0
"""Reads what a test printed as TAP (Test Anything Protocol 12 to 14) and counts its cases.

A test that dies, prints no plan, prints fewer cases than its plan says, or passes nothing at all
has failed, whatever its lines say: a case that did not run is never a case that passed.
"""

import re
from dataclasses import dataclass, field

LINE = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-\s*|\s+|$)(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#.*)?$")
SKIP = re.compile(r"#\s*skip\S*\s*(.*)$", re.IGNORECASE)


@dataclass
class Result:
    passed: int = 0
    failed: list = field(default_factory=list)
    skipped: list = field(default_factory=list)


def parse(text, status, ending=None):
    """Counts the cases in `text`, printed by a test that ended with `status`.

    `ending` is a sentence for a test that did not end by itself ("took longer than 60 s").
    """
    result = Result()
    plan = None
    seen = 0
    for line in text.splitlines():
        planned = PLAN.match(line)
        if planned:
            plan = int(planned.group(1))
            continue
        case = LINE.match(line)
        if not case:
            continue
        seen += 1
        name = case.group(2).strip() or f"case {seen}"
        skip = SKIP.search(name)
        if case.group(1):
            result.failed.append(name)
        elif skip:
            result.skipped.append(name)
        else:
            result.passed += 1

    if ending:
        result.failed.append(ending)
    elif plan is None:
        result.failed.append(f"ended with status {status} before it printed a plan (1..N)")
    elif seen != plan:
        result.failed.append(f"printed {seen} of {plan} cases, and ended with status {status}")
    elif status != 0 and not result.failed:
        result.failed.append(f"ended with status {status}, though no case failed")
    if not result.failed and result.passed == 0:
        result.failed.append("passed nothing")
    return result
