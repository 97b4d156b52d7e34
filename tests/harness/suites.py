# SPDX-License-Identifier: Apache-2.0
"""Builds every variant, runs every suite on it, and counts cases. Started by tests/run."""

import argparse
import concurrent.futures
import fcntl
import fnmatch
import os
import signal
import sys
import time
from dataclasses import dataclass

import jobs
import lab
import tap
import variants

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KVM_GET_API_VERSION = 0xAE00
TAIL = 30


@dataclass
class Suite:
    """A line of the report: the tests of one meson suite, on one build, in one place."""
    name: str
    what: str
    variant: str = "gcc"
    # Suites of meson.build that it runs; none for a suite that only builds.
    runs: tuple = ()
    # "here", "kvm" (here, and /dev/kvm has to open), "lab", or "either" (here when /dev/kvm opens,
    # else in the lab).
    place: str = "here"
    # Part of --quick.
    quick: bool = False


SUITES = [
    Suite("gcc", "builds without a warning", quick=True),
    Suite("lint", "rooms, formatting, forbidden words", runs=("lint",), quick=True),
    Suite("unit", "the rooms from inside", runs=("unit",), quick=True),
    Suite("api", "the public functions from the shared library", runs=("api",), quick=True),
    Suite("headers", "C99, C++ and dlopen", runs=("headers",), quick=True),
    Suite("abi", "symbols, map, headers, baseline", runs=("abi",), quick=True),
    Suite("doc", "what the documents say, and their code", runs=("doc",), quick=True),
    Suite("install", "a program built against the staged install", runs=("install",)),
    Suite("driver", "the virtqueue against Linux's own driver", runs=("driver",)),
    Suite("kvm", "real guests on this machine's KVM", runs=("kvm",), place="kvm", quick=True),
    Suite("errors", "each documented errno is provoked", runs=("errors",), place="either",
          quick=True),
    Suite("sandbox", "real programs against native runs", runs=("sandbox",), place="kvm",
          quick=True),
    Suite("kvm-lab", "real guests in the lab", runs=("kvm",), place="lab"),
    Suite("sandbox-lab", "real programs in the lab", runs=("sandbox",), place="lab"),
    Suite("lab", "the lab itself", runs=("lab",)),
    Suite("cross", "the aarch64 build and its tests", runs=("cross",)),
    Suite("clang", "builds without a warning", variant="clang"),
    Suite("asan", "memory errors, leaks, undefined behaviour", variant="asan",
          runs=("unit", "api")),
    Suite("asan-kvm", "the same with real guests", variant="asan", runs=("kvm",), place="kvm"),
    Suite("tsan", "data races", variant="tsan", runs=("unit", "api")),
    Suite("tsan-kvm", "the same with real guests", variant="tsan", runs=("kvm",), place="kvm"),
]


def kvm_opens():
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(fd, KVM_GET_API_VERSION, 0) == 12
    except OSError:
        return False
    finally:
        os.close(fd)


class Run:
    def __init__(self, options, log):
        self.options = options
        self.log = log
        self.builds = variants.Builds(TOP, log)
        self.kvm = kvm_opens()
        self.passed = 0
        self.failed = []

    def command(self, variant, test):
        """A test's command line. TSan's shadow memory and some kernels' address randomisation
        collide, so that its tests run without."""
        if variant == "tsan":
            return ["setarch", os.uname().machine, "--addr-no-randomize"] + test["cmd"]
        return test["cmd"]

    def run_here(self, suite, tests):
        env = dict(os.environ, **variants.ENVIRONMENTS.get(suite.variant, {}))

        def one(test):
            limit = (test["timeout"] or 30) * (4 if suite.variant in ("asan", "tsan") else 1)
            start = time.monotonic()
            result = jobs.run(self.command(suite.variant, test), limit, dict(env, **test["env"]),
                              test["workdir"])
            return *result, time.monotonic() - start

        # Guests share the machine's cores with nobody: some of their tests assert on time.
        workers = 1 if suite.place in ("kvm", "either") else self.options.jobs
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            yield from pool.map(one, tests)

    def _is_wanted(self, name):
        globs = self.options.test
        return not globs or any(fnmatch.fnmatch(name, glob) for glob in globs)

    def run_suite(self, suite):
        """Runs one suite. Returns its passed count, its failures as (name, case, output), and the
        cases that it had to leave out, each with its reason."""
        error = self.builds.build(suite.variant)
        if error:
            return 0, [("build", f"does not build ({suite.variant})", error)], []
        if not suite.runs:
            return 1, [], []
        tests = [test for name in suite.runs for test in self.builds.tests(suite.variant, name)
                 if self._is_wanted(test["name"])]
        if not tests:
            return 0, [("suite", "has no test", "")], []
        if suite.place == "lab" or (suite.place == "either" and not self.kvm):
            results = lab.run(TOP, tests, self.options.lab_limit, self.options.jobs)
        else:
            results = self.run_here(suite, tests)
        passed, failed, skipped = 0, [], []
        for test, (status, output, ending, seconds) in zip(tests, results):
            counted = tap.parse(output, status, ending)
            self.log.write(f"==== {suite.name} {test['name']} (status {status}, {seconds:.1f} s)\n"
                           f"{output}\n")
            passed += counted.passed
            failed += [(test["name"], case, output) for case in counted.failed]
            skipped += [f"{test['name']}: {case}" for case in counted.skipped]
        return passed, failed, skipped

    @staticmethod
    def excerpt(output):
        """The failed cases with the lines that explain them; the end of an output that has none."""
        found, inside = [], False
        for line in output.strip().splitlines():
            inside = line.startswith("not ok") or (inside and line.startswith("#"))
            if inside:
                found.append(line)
        return found[:TAIL * 2] or output.strip().splitlines()[-TAIL:]

    def report(self, suite, seconds, passed, failed, skipped):
        mark = "FAIL" if failed else "ok  "
        count = f"{passed} passed" + (f", {len(failed)} failed" if failed else "")
        print(f"{mark} {suite.name:<12} {count:<24} {seconds:6.1f} s  {suite.what}", flush=True)
        for case in skipped:
            print(f"       left out: {case}")
        shown = set()
        for test, case, output in failed:
            print(f"       {test}: {case}")
            if test not in shown and output.strip():
                shown.add(test)
                for line in self.excerpt(output):
                    print(f"         | {line}")
        sys.stdout.flush()

    def run_all(self, suites):
        for suite in suites:
            if suite.place == "kvm" and not self.kvm:
                # Said, not hidden: the lab has run, or will run, the same tests.
                print(f"--   {suite.name:<12} /dev/kvm does not open here: the lab runs these",
                      flush=True)
                continue
            start = time.monotonic()
            passed, failed, skipped = self.run_suite(suite)
            self.report(suite, time.monotonic() - start, passed, failed, skipped)
            self.passed += passed
            self.failed += [f"{suite.name}: {test}: {case}" for test, case, _ in failed]


def choose(names, quick):
    known = [suite.name for suite in SUITES]
    for name in names:
        if name not in known:
            sys.exit(f"tests/run: there is no suite '{name}'; there are {', '.join(known)}")
    if names:
        return [suite for suite in SUITES if suite.name in names]
    return [suite for suite in SUITES if suite.quick or not quick]


def parse_options():
    parser = argparse.ArgumentParser(
        prog="tests/run", description="Builds libvmkit and runs its suites. The last line is "
        "'N passed, N failed', counted in cases; the status is 0 only if none failed.",
        epilog="suites: " + "; ".join(f"{suite.name} ({suite.what})" for suite in SUITES))
    parser.add_argument("--suite", nargs="+", action="extend", default=[], metavar="NAME",
                        help="run only these suites")
    parser.add_argument("--test", nargs="+", action="extend", default=[], metavar="GLOB",
                        help="run only the tests whose name matches one of these")
    parser.add_argument("--quick", action="store_true",
                        help="leave out the lab, the cross build, clang and the sanitizers")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="tests at a time, where they do not disturb each other")
    parser.add_argument("--lab-limit", type=int, default=1500, metavar="S",
                        help="seconds for one suite in the lab (%(default)s)")
    parser.add_argument("--no-install", action="store_true",
                        help="install no packages (read by tests/run)")
    return parser.parse_args()


def main():
    def stop(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    options = parse_options()
    suites = choose(options.suite, options.quick)
    os.makedirs(os.path.join(TOP, "build-tests"), exist_ok=True)
    path = os.path.join(TOP, "build-tests", "log.txt")
    with open(path, "w", encoding="utf-8") as log:
        run = Run(options, log)
        try:
            run.run_all(suites)
        except KeyboardInterrupt:
            jobs.stop_all()
            print("\ntests/run: stopped", file=sys.stderr, flush=True)
            # Threads that wait for a test would keep a normal exit waiting.
            os._exit(130)
    if run.failed:
        print(f"\nFailed (all output is in {os.path.relpath(path)}):")
        for name in run.failed:
            print(f"  {name}")
    if run.passed == 0 and not run.failed:
        run.failed.append("nothing ran")
    print(f"{run.passed} passed, {len(run.failed)} failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
