"""A crash of the C library is an answer, not the end."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from edgepack import errors, gate
from edgepack.gate import isolation


@pytest.mark.parametrize(
    ("accident", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "ended by SIGSEGV"),
        (lambda: os._exit(3), "exit code 3"),
    ],
)
def test_crash_in_the_child(
    write_keras: Any, monkeypatch: pytest.MonkeyPatch, accident: Any, words: str
) -> None:
    path = write_keras()
    monkeypatch.setattr(isolation, "scan", lambda *args, **kwargs: accident())
    with pytest.raises(errors.ModelError, match=words):
        gate.read(path)


def test_endless_reading_ends(write_keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(*args: Any, **kwargs: Any) -> None:
        while True:
            pass

    path = write_keras()
    monkeypatch.setattr(isolation, "scan", forever)
    monkeypatch.setattr(isolation, "CPU_LIMIT_S", 1)
    start = time.perf_counter()
    with pytest.raises(errors.ModelError, match=r"ended by SIG(XCPU|KILL)"):
        gate.read(path)
    assert time.perf_counter() - start < 20


def test_endless_memory_ends(write_keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_keras()
    monkeypatch.setattr(isolation, "scan", lambda *args, **kwargs: bytearray(4 << 30))
    with pytest.raises(errors.ModelError, match="exit code 1"):
        gate.read(path)


def test_the_child_is_gone_afterwards(write_keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[int] = []
    fork = os.fork

    def recorded() -> int:
        child = fork()
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", recorded)
    gate.read(write_keras())
    (child,) = children
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_guarded_child_reads_by_itself(write_keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_directly", False)
    isolation.read_directly()
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    assert len(gate.read(write_keras()).layers["hidden"].weights) == 2
