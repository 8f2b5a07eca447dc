"""One build's surroundings: the store, the TensorFlow child, the clock, the person watching."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from edgepack import errors
from edgepack.backend import Backend, Progress
from edgepack.data import code_digests
from edgepack.pipeline.environment import build_key
from edgepack.pipeline.reporter import Reporter
from edgepack.records import Json
from edgepack.store import Entry, Store, key

Maker = Callable[[Path], Json]
"""Writes its files into the given empty directory and returns the record to keep beside them."""


class Workspace:
    """Makes each step once, and finds it again.

    Args:
      store: where results are kept.
      reporter: told of every step.
      trust_code, custom, import_paths: handed to the TensorFlow child.
      memory_bytes: its address-space limit.
      joins_workers: whether a training spans the workers that TF_CONFIG names.
      threads: of the child; sums come out another way with another number.
      backend: a child that outlives this workspace, which was given the same; None for one of its own.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter,
        *,
        trust_code: bool = False,
        custom: Sequence[str] = (),
        import_paths: Sequence[Path] = (),
        memory_bytes: int | None = None,
        joins_workers: bool = False,
        threads: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.store = store
        self.reporter = reporter
        self.seconds: dict[str, float] = {}
        self.directory = Path(tempfile.mkdtemp(prefix="build-", dir=store.scratch))
        self._within: list[float] = []
        """For each running step, outermost first: seconds spent in steps inside it."""
        self._computed: dict[str, Json] = {} if threads is None else {"threads": threads}
        """By what every candidate is computed: the user's layers decide, too."""
        if custom:
            self._computed["custom"] = dict(code_digests(custom, import_paths))
        self._told: set[str] = set()
        self._ahead: list[threading.Thread] = []
        self._lent = backend is not None
        self.backend = backend or Backend(
            log=self.directory / "tensorflow.log",
            memory_bytes=memory_bytes,
            trust_code=trust_code,
            custom=custom,
            import_paths=import_paths,
            joins_workers=joins_workers,
            threads=threads,
        )
        self.backend.on_progress = self._progress

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._lent:
            self.backend.close()
        for thread in self._ahead if error is None or isinstance(error, Exception) else ():
            thread.join()  # not after Ctrl-C: who presses it does not want to wait
        log = self.backend.log
        if error is not None and log.exists() and log.stat().st_size:
            kept = self.store.keep_log(log)
            self.reporter.note("note", f"what TensorFlow printed is in {kept}")
        shutil.rmtree(self.directory, ignore_errors=True)

    def has(self, name: str, parts: dict[str, Json]) -> bool:
        """Whether `produce` would find its result."""
        return self.store.get(self._digest(name, parts)) is not None

    def ahead(self, name: str, parts: dict[str, Json], make: Maker, *, tensorflow: bool = False) -> None:
        """Starts making, on the other core, what `produce` will soon be asked for with the same arguments.

        `produce` then waits for it. A failure here is silent: `produce` meets it again and tells it.
        """
        digest = self._digest(name, parts)
        if self.store.get(digest) is not None:
            return
        if tensorflow:
            self.backend.start()  # here: a child ends with the thread that started it

        def work() -> None:
            with contextlib.suppress(errors.EdgepackError), self.store.lock(digest):
                if self.store.get(digest) is None:
                    self._make(digest, make)

        self._ahead.append(threading.Thread(target=work, name=name, daemon=True))
        self._ahead[-1].start()

    def produce(self, name: str, parts: dict[str, Json], make: Maker, *, tensorflow: bool = False) -> Entry:
        """The entry for these parts: from the store, or made now under a lock that concurrent builds share.

        Args:
          name: the step as the user sees it.
          parts: everything that decides the result, besides versions and processor.
          make: called when the store has no sound entry.
          tensorflow: the step needs the child; it is started before the lock is taken, so that its import overlaps.
        """
        began = time.monotonic()
        digest = self._digest(name, parts)
        entry = self.store.get(digest)
        cached = entry is not None
        # A step inside another one is not told, nor one that finds again what this very build made.
        aloud = not self._within and not (cached and name in self._told)
        if aloud:
            self.reporter.begin(name)
        self._within.append(0.0)
        if entry is None:
            if tensorflow:
                self.backend.start()
            with self.store.lock(digest):
                entry = self.store.get(digest) or self._make(digest, make)
        seconds = time.monotonic() - began
        self._book(name, seconds)
        if aloud:
            self.reporter.end(name, cached=cached, seconds=seconds)
        return entry

    def _book(self, name: str, seconds: float) -> None:
        """Books a step's own seconds, without those of the steps inside it."""
        own = seconds - self._within.pop()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + own, 3)
        self._told.add(name)
        if self._within:
            self._within[-1] += seconds

    def _make(self, digest: str, make: Maker) -> Entry:
        directory = Path(tempfile.mkdtemp(prefix="step-", dir=self.store.scratch))
        try:
            record = make(directory)
            files = {path.name: path for path in sorted(directory.iterdir()) if path.is_file()}
            return self.store.put(digest, files, record)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _progress(self, progress: Progress) -> None:
        self.reporter.progress(progress.text, progress.fraction)

    def _digest(self, name: str, parts: dict[str, Json]) -> str:
        environment: dict[str, Json] = {**build_key(), **self._computed}
        return key(step=name, parts=parts, environment=environment)
