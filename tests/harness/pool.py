# SPDX-License-Identifier: Apache-2.0
"""Hands the machine's cores to tasks: one core each, in the order of their keys.

A task that is `alone` (it asserts on time, or starts threads of its own) never runs beside another
of its kind, and goes before the others, which fill the cores that it leaves.
"""

import heapq
import itertools
import threading
from concurrent.futures import Future


class Pool:
    def __init__(self, workers):
        self._condition = threading.Condition()
        self._alone, self._others = [], []
        self._is_one_alone = False
        self._numbers = itertools.count()
        for _ in range(workers):
            threading.Thread(target=self._work, daemon=True).start()

    def submit(self, key, alone, function, *arguments):
        """A future of what function(*arguments) returns. The smallest key is next."""
        future = Future()
        task = (key, next(self._numbers), alone, future, function, arguments)
        with self._condition:
            heapq.heappush(self._alone if alone else self._others, task)
            self._condition.notify()
        return future

    def _next(self):
        """A task that may begin, or None."""
        if self._alone and not self._is_one_alone:
            self._is_one_alone = True
            return heapq.heappop(self._alone)
        return heapq.heappop(self._others) if self._others else None

    def _work(self):
        while True:
            with self._condition:
                while not (task := self._next()):
                    self._condition.wait()
            _, _, alone, future, function, arguments = task
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
            if alone:
                with self._condition:
                    self._is_one_alone = False
                    self._condition.notify()
