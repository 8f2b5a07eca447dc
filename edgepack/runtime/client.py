"""Parent side of an interpreter child: ask once, wait, explain what went wrong."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from edgepack import errors
from edgepack.child import child_environment
from edgepack.runtime.availability import require

DEFAULT_TIMEOUT_S = 1800.0
OnProgress = Callable[[float], None]
LAST_WORDS_LINES = 5
PYTHON_VARIABLE = "EDGEPACK_PYTHON"
"""Set by who starts the runner on a device: the command of its Python."""
RUNNER_VARIABLE, CHILD_WORD = "EDGEPACK_RUNNER", "--child"
"""Set by the runner: its own file, which with this word is its child."""


def ask(
    operation: str,
    arguments: Mapping[str, Any],
    *,
    runtime: str = "litert",
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_bytes: int | None = None,
    on_progress: OnProgress | None = None,
    child: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Runs one operation in a fresh interpreter child and returns its JSON result.

    Args:
      operation: a name of `operations.OPERATIONS`.
      arguments: its keyword arguments, JSON; paths absolute (the child works in ``/``).
      runtime: checked to be installed before a process is started.
      timeout_s: wall time after which the child is killed.
      memory_bytes: address-space limit of the child, None for no limit.
      on_progress: told the fraction done, a few times a second.
      child: command that starts the child, where it is of another Python than this one.

    Raises:
      EdgepackError: the class that the operation itself raised.
      MissingDependencyError: the runtime is not installed or cannot be imported.
      ChildCrashError: the child died of a signal, used up its memory, or ran past `timeout_s`.
    """
    if child is None:
        require(runtime)
    request = {
        "operation": operation,
        "runtime": runtime,
        "arguments": dict(arguments),
        "memory_bytes": memory_bytes,
    }
    with tempfile.TemporaryFile() as noise:
        process = subprocess.Popen(
            _command() if child is None else child,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            # Python puts the working directory first on sys.path: a json.py beside the model must not run.
            cwd="/",
            env={**child_environment(), "TF_CPP_MIN_LOG_LEVEL": "2"},
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout_s
        try:
            _tell(process, json.dumps(request).encode())
            reply = _listen(process, deadline, on_progress)
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise errors.ChildCrashError(
                f"{runtime}: {operation!r} did not finish within {timeout_s:g} s and was ended",
                cause="timeout",
            ) from None
        finally:
            _end(process)
        return _result(reply, process.returncode, f"{runtime}: {operation!r}", _last_words(noise))


def _command() -> list[str]:
    """How a child is started: as this process was, which an emulated Python cannot know by itself."""
    python = os.environ.get(PYTHON_VARIABLE) or sys.executable
    runner = os.environ.get(RUNNER_VARIABLE)
    return [python, "-m", "edgepack.runtime"] if runner is None else [python, runner, CHILD_WORD]


def _tell(child: subprocess.Popen[bytes], request: bytes) -> None:
    """Sends the request; a child that died already is noticed when its answer is read."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(request)
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()


def _listen(child: subprocess.Popen[bytes], deadline: float, on_progress: OnProgress | None) -> bytes:
    """The last line of what the child says; progress on the way.

    Raises:
      TimeoutError: the deadline (of `time.monotonic`) passed.
    """
    assert child.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            chunk = os.read(child.stdout.fileno(), 1 << 20)
            if not chunk:
                return rest
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not line.startswith(b'{"progress"'):
                    rest = line + rest
                elif on_progress is not None:
                    on_progress(json.loads(line)["progress"])


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kills what is left of the child's session: on a time-out, or when the parent is interrupted."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _result(reply: bytes, code: int, what: str, last_words: str) -> dict[str, Any]:
    if code < 0:
        name = signal.Signals(-code).name
        hint = {
            signal.SIGKILL: " (often the kernel's out-of-memory killer)",
            signal.SIGXCPU: " (its time limit)",
        }.get(signal.Signals(-code), " (a damaged or unsupported model file can do that)")
        raise errors.ChildCrashError(
            f"{what}: the interpreter process was ended by {name}{hint}{last_words}",
            cause="signal",
            signal=-code,
        )
    try:
        answer: dict[str, Any] = json.loads(reply)
    except ValueError:
        raise errors.ChildCrashError(
            f"{what}: the interpreter process stopped with exit code {code} and no answer{last_words}"
        ) from None
    if "error" in answer:
        told = answer["error"]
        if told["kind"] == "ChildCrashError":
            raise errors.ChildCrashError(told["message"], cause=told.get("cause", "crash"))
        kind: type[errors.EdgepackError] = getattr(errors, told["kind"], errors.ChildCrashError)
        raise kind(told["message"])
    result: dict[str, Any] = answer["result"]
    return result


def _last_words(noise: IO[bytes]) -> str:
    noise.seek(0, os.SEEK_END)
    noise.seek(max(0, noise.tell() - 8192))
    lines = noise.read().decode(errors="replace").splitlines()[-LAST_WORDS_LINES:]
    return "; its last words:\n" + "\n".join("    " + line for line in lines) if lines else ""
