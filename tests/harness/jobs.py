# SPDX-License-Identifier: Apache-2.0
"""Runs commands in process groups of their own, so that a time limit or Ctrl-C ends all of one."""

import os
import signal
import subprocess
import tempfile
import threading

_running = set()
_lock = threading.Lock()
_stopping = False


def _signal(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def stop_all():
    """Ends every command that runs, and keeps further ones from starting."""
    global _stopping
    with _lock:
        _stopping = True
        processes = list(_running)
    # The lab cleans up after itself when it is asked to end.
    for process in processes:
        _signal(process, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        _signal(process, signal.SIGKILL)


def run(command, limit, env=None, cwd=None):
    """Runs `command` for at most `limit` seconds.

    Returns its status (128+n for a signal), what it wrote to both streams together, and a sentence
    if it did not end by itself. Output goes through a file: a stray descendant that keeps it open
    does not keep us waiting.
    """
    ending = None
    with tempfile.TemporaryFile() as output:
        with _lock:
            if _stopping:
                return 130, "", "was not started: the run was stopped"
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    env=env, cwd=cwd, start_new_session=True)
            except OSError as error:
                return 127, "", f"could not be started: {error.strerror}: {command[0]}"
            _running.add(process)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            ending = f"took longer than {limit} s"
        finally:
            # What a test left behind in its group ends with it.
            _signal(process, signal.SIGKILL)
            process.wait()
            with _lock:
                _running.discard(process)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    status = process.returncode
    return (status if status >= 0 else 128 - status), text, ending
