# SPDX-License-Identifier: Apache-2.0
"""Builds every variant, runs every suite on it, and counts cases. Started by tests/run."""

import argparse
import concurrent.futures
import fcntl
import fnmatch
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass

import jobs
import lab
import pool
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
    # A race takes two threads.
    Suite("tsan", "data races, where there are threads", variant="tsan", runs=("unit", "api")),
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
    """Suites run beside each other where they do not disturb: a pool has a worker for each core, and
    each suite a thread that feeds it."""

    def __init__(self, options, log, suites):
        self.options = options
        self.log = log
        self.suites = suites
        self.builds = variants.Builds(TOP, log)
        self.pool = pool.Pool(options.jobs)
        self.kvm = kvm_opens()
        # Held while a suite is reported and counted.
        self.lock = threading.Lock()
        self.is_stopped = False
        self.passed = 0
        self.failed = []

    @staticmethod
    def rank(suite):
        """Where a suite stands in the queue: what is quick, then builds, then the others."""
        return (0 if suite.quick else 2, SUITES.index(suite))

    def build(self, variant, workers):
        start = time.monotonic()
        error = self.builds.build(variant, workers)
        return error, time.monotonic() - start

    def start_builds(self, suites):
        """Returns a future for each variant: the first is made with every core; the others beside
        the tests, one that is for nothing but the build last."""
        first = suites[0].variant
        futures = {first: self.pool.submit((0,), False, self.build, first, self.options.jobs)}
        concurrent.futures.wait(futures.values())
        for suite in suites:
            if suite.variant not in futures:
                key = (1, SUITES.index(suite)) if suite.runs else self.rank(suite)
                futures[suite.variant] = self.pool.submit(
                    key, False, self.build, suite.variant, max(1, self.options.jobs - 1))
        return futures

    def command(self, variant, test):
        """A test's command line. TSan's shadow memory and some kernels' address randomisation
        collide, so that its tests run without."""
        if variant == "tsan":
            return ["setarch", os.uname().machine, "--addr-no-randomize"] + test["cmd"]
        return test["cmd"]

    def run_here(self, suite, test):
        env = dict(os.environ, **variants.ENVIRONMENTS.get(suite.variant, {}))
        limit = (test["timeout"] or 30) * (4 if suite.variant in ("asan", "tsan") else 1)
        start = time.monotonic()
        result = jobs.run(self.command(suite.variant, test), limit, dict(env, **test["env"]),
                          test["workdir"])
        return *result, time.monotonic() - start

    def run_share(self, suite, tests, in_lab):
        """Results of tests that run one after the other, and the seconds that it took."""
        start = time.monotonic()
        if in_lab:
            results = lab.run_share(TOP, tests, self.options.lab_limit)
        else:
            results = [self.run_here(suite, test) for test in tests]
        return results, time.monotonic() - start

    def run_tests(self, suite, tests):
        """Results of all tests, in their order, and the seconds of all together."""
        in_lab = suite.place == "lab" or (suite.place == "either" and not self.kvm)
        # Guests share this machine's KVM with nobody: some of their tests assert on time.
        alone = suite.place in ("kvm", "either") and not in_lab
        shares = lab.split(tests, self.options.jobs) if in_lab else [[i] for i in range(len(tests))]
        futures = [self.pool.submit((*self.rank(suite), number), alone, self.run_share, suite,
                                    [tests[i] for i in share], in_lab)
                   for number, share in enumerate(shares)]
        found, seconds = {}, 0.0
        for share, future in zip(shares, futures):
            results, took = future.result()
            found.update(zip(share, results))
            seconds += took
        return [found[i] for i in range(len(tests))], seconds

    def _is_wanted(self, name):
        globs = self.options.test
        return not globs or any(fnmatch.fnmatch(name, glob) for glob in globs)

    def run_suite(self, suite, build):
        """Runs one suite on a build, which is a future. Returns its seconds, its passed count, its
        failures as (name, case, output), and the cases that it had to leave out, with reasons."""
        error, seconds = build.result()
        if error:
            return seconds, 0, [("build", f"does not build ({suite.variant})", error)], []
        if not suite.runs:
            return seconds, 1, [], []
        tests = [test for name in suite.runs for test in self.builds.tests(suite.variant, name)
                 if self._is_wanted(test["name"])]
        skipped = []
        if suite.variant == "tsan":
            single = [test["name"] for test in tests if not variants.has_threads(test["cmd"][0])]
            tests = [test for test in tests if test["name"] not in single]
            skipped += ["without threads: " + ", ".join(single)] if single else []
        if not tests:
            return 0.0, 0, [("suite", "has no test", "")], []
        results, seconds = self.run_tests(suite, tests)
        passed, failed = 0, []
        for test, (status, output, ending, took) in zip(tests, results):
            counted = tap.parse(output, status, ending)
            self.log.write(f"==== {suite.name} {test['name']} (status {status}, {took:.1f} s)\n"
                           f"{output}\n")
            passed += counted.passed
            failed += [(test["name"], case, output) for case in counted.failed]
            skipped += [f"{test['name']}: {case}" for case in counted.skipped]
        return seconds, passed, failed, skipped

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

    def conduct(self, suite, build):
        """Runs a suite and reports it, whatever becomes of it."""
        try:
            seconds, passed, failed, skipped = self.run_suite(suite, build)
        except Exception:
            seconds, passed, skipped = 0.0, 0, []
            failed = [("suite", "could not be run", traceback.format_exc())]
        with self.lock:
            if self.is_stopped:
                return
            self.report(suite, seconds, passed, failed, skipped)
            self.passed += passed
            self.failed += [f"{suite.name}: {test}: {case}" for test, case, _ in failed]

    def run_all(self):
        suites = [suite for suite in self.suites if suite.place != "kvm" or self.kvm]
        for suite in self.suites:
            if suite not in suites:
                # Said, not hidden: the lab runs the same tests.
                print(f"--   {suite.name:<12} /dev/kvm does not open here: the lab runs these",
                      flush=True)
        if not suites:
            return
        builds = self.start_builds(suites)
        threads = [threading.Thread(target=self.conduct, args=(suite, builds[suite.variant]),
                                    daemon=True) for suite in suites]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self):
        with self.lock:
            self.is_stopped = True
            self.log.flush()
        jobs.stop_all()


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
                        help="tests, builds and machines of the lab at a time (%(default)s)")
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
    start = time.monotonic()
    with open(path, "w", encoding="utf-8") as log:
        run = Run(options, log, suites)
        try:
            run.run_all()
        except KeyboardInterrupt:
            run.stop()
            print("\ntests/run: stopped", file=sys.stderr, flush=True)
            # Threads that wait for a test would keep a normal exit waiting.
            os._exit(130)
    if run.failed:
        print(f"\nFailed (all output is in {os.path.relpath(path)}):")
        for name in run.failed:
            print(f"  {name}")
    if run.passed == 0 and not run.failed:
        run.failed.append("nothing ran")
    print(f"\nIt took {time.monotonic() - start:.0f} s.")
    print(f"{run.passed} passed, {len(run.failed)} failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
