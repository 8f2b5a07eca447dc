"""Parent side of the TensorFlow child: start, ask, watch, bury."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgepack import errors
from edgepack.child import THREAD_LIMITS, child_environment
from edgepack.records import Json

DEFAULT_TIMEOUT_S = 6 * 3600.0
TENSORFLOW_PACKAGES = ("tensorflow", "tf_keras")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One progress report of a running operation.

    Attributes:
      text: what is being done, such as "epoch 2/5 loss 0.113".
      fraction: 0 … 1 of the operation, None where unknown.
    """

    text: str
    fraction: float | None


class Backend:
    """A TensorFlow child process, started on first use.

    Args:
      log: file that receives everything TensorFlow prints; its tail is shown when the child crashes.
      memory_bytes: address-space limit of the child, None for no limit.
      trust_code: whether the recipe's own Python (custom layers, providers) may be imported in the child.
      custom: "module:Class" of the user's own layers, imported only with `trust_code`.
      import_paths: directories prepended to sys.path for the user's layers, with `trust_code` only.
      joins_workers: whether a training spans the workers that TF_CONFIG names.
      threads: of TensorFlow and of BLAS in the child; None leaves it to them and the environment.
      on_progress: called with each `Progress`; whoever uses the child from now on sets its own.

    Example:
      >>> with Backend(log=Path("/tmp/tensorflow.log")) as backend:           # doctest: +SKIP
      ...     backend.call("versions")["tensorflow"]
      '2.19.1'
    """

    def __init__(
        self,
        *,
        log: Path,
        memory_bytes: int | None = None,
        trust_code: bool = False,
        custom: Sequence[str] = (),
        import_paths: Sequence[Path] = (),
        joins_workers: bool = False,
        threads: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.log = log
        self._settings: dict[str, Json] = {
            "memory_bytes": memory_bytes,
            "trust_code": trust_code,
            "custom": list(custom),
            "joins_workers": joins_workers,
            "import_paths": [str(path.resolve()) for path in import_paths],
        }
        self.on_progress = on_progress
        self._threads = {} if threads is None else dict.fromkeys(THREAD_LIMITS, str(threads))
        self._child: subprocess.Popen[bytes] | None = None
        self._replies = b""
        self._turn = threading.Lock()
        """One operation at a time: a second thread waits for its turn."""
        self.starts = 0
        """How many children were started: more than one means that one died."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check_trust(self) -> None:
        """Nothing of the user's is imported, and no child is started for it, before the user allowed it.

        Raises:
          TrustError: there are layers of the user's own, and no `trust_code`.
        """
        if self._settings["custom"] and not self._settings["trust_code"]:
            raise errors.TrustError(
                f"[model] custom = {json.dumps(self._settings['custom'])} runs Python code of the recipe; if you trust it, "
                "add --trust-code"
            )

    def start(self) -> None:
        """Starts the child now, so that it imports TensorFlow while the parent does something else."""
        if self._child is not None and self._child.poll() is None:
            return
        missing = [name for name in TENSORFLOW_PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise errors.MissingDependencyError(
                f"{', '.join(missing)} not installed in {sys.prefix}: building needs it; "
                'install with: pip install "edgepack[build]"'
            )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "edgepack.backend", json.dumps(self._settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",  # Python puts the working directory first on sys.path: a json.py there must not run
                env={**child_environment(), **self._threads},
                start_new_session=True,  # Ctrl-C reaches the parent, which then ends the child
            )
        self._replies = b""
        self.starts += 1

    def call(
        self, operation: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, **arguments: Json
    ) -> dict[str, Any]:
        """Runs one operation of `operations.OPERATIONS` and returns its JSON result.

        Raises:
          EdgepackError: the class that the operation itself raised.
          ChildCrashError: the child died of a signal, was killed for memory, or ran past `timeout_s`.
        """
        with self._turn:
            return self._asked(operation, timeout_s, arguments)

    def _asked(self, operation: str, timeout_s: float, arguments: dict[str, Json]) -> dict[str, Any]:
        self.start()
        child = self._child
        assert child is not None and child.stdin is not None
        try:
            request = {"operation": operation, "arguments": arguments}
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            raise self._crashed(child, operation) from None
        deadline = time.monotonic() + timeout_s
        while True:
            reply = self._reply(child, operation, deadline)
            if "progress" in reply:
                if self.on_progress is not None:
                    self.on_progress(
                        Progress(text=reply["progress"]["text"], fraction=reply["progress"]["fraction"])
                    )
            elif "error" in reply:
                raise self._rebuilt_error(reply["error"])
            else:
                result: dict[str, Any] = reply["result"]
                return result

    def close(self) -> None:
        """Ends the child, kindly first; an operation that another thread waits for ends with ChildCrashError."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        try:
            child.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            _kill_group(child)
        with self._turn:  # nobody reads it any more
            if child.stdout is not None:
                child.stdout.close()

    def _reply(self, child: subprocess.Popen[bytes], operation: str, deadline: float) -> dict[str, Any]:
        assert child.stdout is not None
        replies = child.stdout.fileno()
        while b"\n" not in self._replies:
            with selectors.DefaultSelector() as selector:
                selector.register(replies, selectors.EVENT_READ)
                ready = selector.select(timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                _kill_group(child)
                self._child = None
                raise errors.ChildCrashError(
                    f"the TensorFlow process did not finish {operation!r} within its time limit and was ended"
                )
            chunk = os.read(replies, 1 << 16)
            if not chunk:
                raise self._crashed(child, operation)
            self._replies += chunk
        line, self._replies = self._replies.split(b"\n", 1)
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    def _crashed(self, child: subprocess.Popen[bytes], operation: str) -> errors.ChildCrashError:
        if self._child is None:  # by `close`, which puts the pipes away
            return errors.ChildCrashError(f"the TensorFlow process was ended during {operation!r}")
        self._child = None
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += " (often the kernel's out-of-memory killer)"
        else:
            how = f"stopped with exit code {code}"
        tail = self._tail()
        words = f"; its last words:\n{tail}" if tail else ""
        return errors.ChildCrashError(
            f"the TensorFlow process {how} during {operation!r}{self._limit()}{words}"
        )

    def _rebuilt_error(self, error: dict[str, str]) -> errors.EdgepackError:
        kind: type[errors.EdgepackError] = getattr(errors, error["kind"], errors.ChildCrashError)
        return kind(error["message"] + (self._limit() if kind is errors.ChildCrashError else ""))

    def _limit(self) -> str:
        limit = self._settings["memory_bytes"]
        if not isinstance(limit, int):
            return ""
        return f" (its memory limit is {limit / 1e9:g} GB; TensorFlow alone maps about 3 GB: give it more with --memory)"

    def _tail(self, lines: int = 5) -> str:
        try:
            text = self.log.read_bytes()[-8192:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join("    " + line for line in text.splitlines()[-lines:])


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
