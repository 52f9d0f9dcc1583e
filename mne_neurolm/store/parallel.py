"""Run a function over many files, in processes that compute with one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import wait as wait_for_end
from pathlib import Path
from typing import TypeVar

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

_IN_FLIGHT = 3  # submissions per process, so that none waits for the next
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def run_jobs(
    function: Callable[[_Job, Path], _Result],
    submissions: Iterator[tuple[_Job, Path]],
    n_jobs: int,
    *,
    died: Callable[[_Job], _Result],
) -> Iterator[list[tuple[_Job, Path, _Result]]]:
    """Yield results in batches, as they become ready.

    Parameters
    ----------
    function : callable
        Takes a job and a path. With more than one process it must be importable.
    submissions : iterator of (job, Path)
        Asked for the next one when a process will soon be free.
    n_jobs : int
        Number of processes; 1 is the calling one.
    died : callable
        Gives the result of a job that killed its process, e.g. for want of memory.

    Yields
    ------
    batch : list of (job, Path, result)
        At least one. An exception that ``function`` raises is raised here.
    """
    if n_jobs == 1:
        for job, path in submissions:
            yield [(job, path, function(job, path))]
        return
    with _one_thread():
        while True:
            lost: list[tuple[_Job, Path]] = []
            with _pool(n_jobs) as pool:
                yield from _run(pool, function, submissions, n_jobs * _IN_FLIGHT, lost)
            if not lost:
                return
            # One of these killed its process, and with it the pool. Alone, it shows which.
            for job, path in lost:
                with _pool(1) as pool:
                    try:
                        result = pool.submit(function, job, path).result()
                    except BrokenProcessPool:
                        result = died(job)
                yield [(job, path, result)]


def _run(
    pool: ProcessPoolExecutor,
    function: Callable[[_Job, Path], _Result],
    submissions: Iterator[tuple[_Job, Path]],
    in_flight: int,
    lost: list[tuple[_Job, Path]],
) -> Iterator[list[tuple[_Job, Path, _Result]]]:
    """Yield results until all is done, or the pool breaks and what it had goes to ``lost``."""
    running: dict[Future[_Result], tuple[_Job, Path]] = {}
    try:
        while True:
            for job, path in islice(submissions, in_flight - len(running)):
                try:
                    running[pool.submit(function, job, path)] = (job, path)
                except BrokenProcessPool:
                    lost.append((job, path))
            if not running:
                return
            ready, _ = wait(running, return_when=FIRST_COMPLETED)
            batch = []
            for future in ready:
                job, path = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append((job, path))
                else:
                    batch.append((job, path, future.result()))
            if batch:
                yield batch
            if lost:
                lost += [running.pop(future) for future in list(running)]
                return
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(n_jobs: int) -> ProcessPoolExecutor:
    # Spawned, not forked: the parent has threads, of the progress bar and of the pool itself.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_jobs, mp_context=context, initializer=_start_process)


def _start_process() -> None:
    """Prepare a process: the parent alone answers Ctrl-C, and takes its processes with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait_for_end([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started meanwhile compute with one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
