"""Where trials are carried out: processes of this machine, or the workers of a Dask cluster; both `concurrent.futures`."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from typing import Any, Final, Protocol

from edgepack import errors
from edgepack.child import THREAD_LIMITS
from edgepack.tune.job import Job, Outcome
from edgepack.tune.trial import begin_worker, evaluate, make_ready

LOCAL: Final = "local"
CALM: Final = {
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.work-stealing-interval": "500ms",
    "distributed.worker.profile.enabled": False,
}
"""A trial takes seconds to hours: what Dask does every few milliseconds for tasks as short takes a tenth of a processor."""
WORKER_WAIT_S: Final = 60.0
CLIENT_TIMEOUT_S: Final = 30.0


class Workers(Protocol):
    """What a search needs of either."""

    @property
    def count(self) -> int:
        """How many trials run at once."""

    def make_ready(self, job: Job) -> None:
        """Lets every worker start what trials like this one need, while the first ones are chosen."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Starts a trial."""

    def lost(self, error: BaseException) -> bool:
        """Whether this is how a killed worker shows; afterwards `submit` works again."""

    def require(self) -> None:
        """Nothing, as long as trials can be carried out.

        Raises:
          DeviceError: the scheduler went away.
        """

    def close(self, *, at_once: bool) -> None:
        """Ends the processes that were started; `at_once` without waiting for running trials."""


class LocalPool:
    """A pool of processes, each with a TensorFlow child of its own."""

    def __init__(self, jobs: int) -> None:
        self.count = jobs
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.count, mp_context=multiprocessing.get_context("spawn"), initializer=begin_worker
        )

    def make_ready(self, job: Job) -> None:
        with _one_thread():
            for _ in range(self.count):  # as long as none is idle, each starts a process
                self._pool.submit(make_ready, job)

    def submit(self, job: Job) -> Future[Outcome]:
        with _one_thread():
            try:
                return self._pool.submit(evaluate, job)
            except BrokenExecutor:
                self._renew()
                return self._pool.submit(evaluate, job)

    def lost(self, error: BaseException) -> bool:
        return isinstance(error, BrokenExecutor)

    def require(self) -> None:
        """Nothing is needed but this machine."""

    def close(self, *, at_once: bool) -> None:
        if at_once:
            for process in multiprocessing.active_children():
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def _renew(self) -> None:
        """One dead process breaks a pool: the others are ended, and their trials start again elsewhere."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._started()


class DaskWorkers:
    """The workers of a Dask cluster, or of one that is started here ("local") and ends with the search."""

    def __init__(self, address: str, jobs: int) -> None:
        distributed = _distributed()
        _silence()
        self._cluster: Any = None
        if address == LOCAL:
            with _one_thread():
                self._cluster = _local_cluster(distributed, jobs)
        try:
            self._client: Any = distributed.Client(self._cluster or address, timeout=CLIENT_TIMEOUT_S)
            self._client.wait_for_workers(1, timeout=WORKER_WAIT_S)
        except (OSError, TimeoutError, ValueError) as error:
            self._close_cluster()
            raise errors.DeviceError(
                f"--scheduler {address}: no Dask scheduler with a worker answers there: {error}; start one with `dask "
                "scheduler` and `dask worker ADDRESS`, or give --scheduler local"
            ) from error
        self._executor: Executor = self._client.get_executor(pure=False)
        self._readying: list[Any] = []
        """Kept: Dask forgets a task whose future nobody holds."""
        self.count = max(1, sum(self._client.nthreads().values()))

    def make_ready(self, job: Job) -> None:
        self._readying = [
            self._client.submit(make_ready, job, workers=[address], pure=False)
            for address in self._client.nthreads()
        ]

    def submit(self, job: Job) -> Future[Outcome]:
        submit: Callable[..., Future[Outcome]] = self._executor.submit
        return submit(evaluate, job)

    def lost(self, error: BaseException) -> bool:
        self.require()
        killed: type[BaseException] = _distributed().scheduler.KilledWorker
        return isinstance(error, (killed, CancelledError))

    def require(self) -> None:
        if self._client.status != "running":
            raise errors.DeviceError(
                "the Dask scheduler went away; every finished trial is kept: run the same command again with a scheduler "
                "that lives, and it goes on"
            )

    def close(self, *, at_once: bool) -> None:
        self._client.close(timeout=1 if at_once else CLIENT_TIMEOUT_S)
        self._close_cluster()

    def _close_cluster(self) -> None:
        if self._cluster is not None:
            self._cluster.close(timeout=CLIENT_TIMEOUT_S)


def _local_cluster(distributed: Any, jobs: int) -> Any:
    """Worker processes of this machine, one trial each."""
    import dask

    with dask.config.set(CALM):
        return distributed.LocalCluster(
            n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that are started meanwhile compute with one thread: numpy reads it when it is imported.

    Their TensorFlow children keep to the recipe's `threads`.
    """
    before = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def workers(scheduler: str | None, jobs: int) -> Workers:
    """The executor that the user asked for.

    Args:
      scheduler: "tcp://host:port", "local", or None for processes without Dask.
      jobs: trials at once; a cluster has its own number.

    Raises:
      MissingDependencyError: Dask is not installed.
      DeviceError: no scheduler answers.
    """
    return LocalPool(jobs) if scheduler is None else DaskWorkers(scheduler, jobs)


def _silence() -> None:
    """What a user needs to know of a lost scheduler or worker is told by the search.

    Dask gives several of its loggers, such as distributed.client, a level and a handler of their own.
    """
    for name in ("distributed", "asyncio", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise errors.MissingDependencyError(
            '--scheduler needs Dask, which is not installed; install with: pip install "edgepack[tune]"'
        ) from None
    return distributed
