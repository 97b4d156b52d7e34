# SPDX-License-Identifier: Apache-2.0
"""Runs a suite's tests inside of the lab: a boot for each of some shares, whose script marks where
each test begins."""

import heapq
import os
import shlex
import tempfile

import jobs

# Software emulation is 10 to 30 times slower than the machine it runs on.
SLOWNESS = 10
# Parts of a suite for each machine: few, since each is a boot.
SHARES = 4
_MARK = "@@lab-test"

_PROLOGUE = f"""#!/bin/sh
run() {{
    id=$1 limit=$2
    shift 2
    echo "{_MARK} begin $id"
    read -r begin _ </proc/uptime
    timeout -k 5 "$limit" "$@" </dev/null 2>&1
    status=$?
    read -r end _ </proc/uptime
    echo "{_MARK} end $id $status $begin $end"
}}
"""


def _get_weight(test):
    """What may take longest has most time."""
    return test["timeout"] or 30


def _paths(test):
    """What the command and its environment name: files that have to be there inside too."""
    words = list(test["cmd"]) + list(test["env"].values())
    return [word for word in words if word.startswith("/") and os.path.exists(word)]


def _script(tests):
    lines = [_PROLOGUE]
    for number, test in enumerate(tests):
        command = ["env"] + [f"{name}={value}" for name, value in test["env"].items()]
        command += test["cmd"]
        limit = str(int(test["timeout"] or 30) * SLOWNESS)
        folder = shlex.quote(test["workdir"])
        where = f"mkdir -p {folder} && cd {folder} && "
        lines.append(where + shlex.join(["run", str(number), limit] + command) + "\n")
    return "".join(lines)


def _read_marks(text, count):
    """Output, status and seconds of each test, None for one that has no end."""
    output = [""] * count
    status = [None] * count
    seconds = [0.0] * count
    current = None
    for line in text.splitlines(keepends=True):
        words = line.split()
        if words[:2] == [_MARK, "begin"]:
            current = int(words[2])
        elif words[:2] == [_MARK, "end"]:
            status[int(words[2])] = int(words[3])
            seconds[int(words[2])] = float(words[5]) - float(words[4])
            current = None
        elif current is not None:
            output[current] += line
    return list(zip(status, output, seconds))


def run_share(top, tests, limit):
    """(status, output, ending, seconds) for each, of one boot."""
    with tempfile.TemporaryDirectory(prefix="vmkit-tests.") as folder:
        script = os.path.join(folder, "suite.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write(_script(tests))
        os.chmod(script, 0o755)
        command = [os.path.join(top, "tests/lab/run"), "--timeout", str(limit),
                   "--env", f"CK_TIMEOUT_MULTIPLIER={SLOWNESS}"]
        for path in sorted({path for test in tests for path in _paths(test)}):
            command += ["--file", path]
        status, text, ending = jobs.run(command + ["--", script], limit + 300)
    results = []
    for test_status, output, seconds in _read_marks(text, len(tests)):
        if test_status is None:
            lines = text.strip().splitlines()[-8:]
            why = ending or f"did not end in the lab, which ended with status {status}"
            results.append((125, output + "\n".join([""] + lines), why, seconds))
        elif test_status in (124, 137):
            results.append((test_status, output, "took too long in the lab", seconds))
        else:
            results.append((test_status, output, None, seconds))
    return results


def split(tests, machines):
    """Numbers of tests, in shares of one boot each that take about as long.

    Each test goes to the share that has the least until then, the longest first.
    """
    count = max(1, min(machines * SHARES, len(tests)))
    shares = [(0, number, []) for number in range(count)]
    for number in sorted(range(len(tests)), key=lambda number: -_get_weight(tests[number])):
        weight, share, members = heapq.heappop(shares)
        members.append(number)
        heapq.heappush(shares, (weight + _get_weight(tests[number]), share, members))
    return [members for _, _, members in sorted(shares, key=lambda share: -share[0])]
