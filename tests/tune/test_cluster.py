"""Searches on a real Dask cluster of processes: as local ones, whoever is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tune.commands import Local, command, finished, outcome, project, said, start, until
from tests.tune.test_tune import digest, told_trials

pytest.importorskip("distributed")
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


class Cluster:
    """A scheduler and workers of one thread each, every one a process of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        host = ["--host", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--no-dashboard"]
        self.scheduler = self._started("scheduler", *host)
        self.workers = [self.worker() for _ in range(workers)]

    def worker(self) -> subprocess.Popen[bytes]:
        options = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "60"]
        return self._started("worker", self.address, *options, "--local-directory", str(self._folder))

    def _started(self, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / "dask.log").open("a") as log:
            return subprocess.Popen(
                [command("dask"), *words],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    made = Cluster(folder, workers=2)
    yield made
    made.close()


def same(found: dict[str, Any], out: Path, local: Local) -> None:
    assert outcome(found) == outcome(local.found) and found["front"] == local.found["front"], said(out)
    assert digest(out) == digest(local.out)


def test_a_killed_worker_loses_nothing(cluster: Cluster, local: Local, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(local.recipe, out, local.cache, "--scheduler", cluster.address)
    until(lambda: len(told_trials(out)) >= 1, "a first trial")
    end(cluster.workers[0])
    same(finished(process, out), out, local)


def test_a_killed_scheduler_ends_a_search_that_goes_on_with_another(
    cluster: Cluster, local: Local, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(local.recipe, out, local.cache, "--scheduler", cluster.address)
    until(lambda: len(told_trials(out)) >= 1, "a first trial")
    end(cluster.scheduler)
    assert process.wait(timeout=120) == 69, said(out)
    assert "scheduler went away" in said(out) and "Traceback" not in said(out)
    kept = told_trials(out)
    again = start(local.recipe, out, local.cache, "--scheduler", "local", "--jobs", "2")
    same(finished(again, out), out, local)
    assert kept.items() <= told_trials(out).items()


def test_a_killed_client_loses_nothing(cluster: Cluster, local: Local, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(local.recipe, out, local.cache, "--scheduler", cluster.address)
    until(lambda: len(told_trials(out)) >= 2, "two trials")
    process.kill()
    process.wait(timeout=30)
    kept = told_trials(out)
    again = start(local.recipe, out, local.cache, "--scheduler", cluster.address)
    same(finished(again, out), out, local)
    assert kept.items() <= told_trials(out).items()


def test_no_scheduler_is_told(tmp_path: Path) -> None:
    recipe, out = project(tmp_path / "project", trials=2), tmp_path / "out"
    process = start(recipe, out, tmp_path / "cache", "--scheduler", "tcp://127.0.0.1:9")
    assert process.wait(timeout=120) == 69
    assert "no Dask scheduler" in said(out)
