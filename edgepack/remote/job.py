"""What is asked of a device and what comes back, whichever way it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgepack import errors
from edgepack.device import Device
from edgepack.durable import storage_errors


@dataclass(frozen=True, kw_only=True)
class Job:
    """One program with its files, run once in a temporary folder of its own.

    Attributes:
      files: plain name → content; the working directory of the program holds exactly these.
      program: which of them is run, by the device's Python.
      arguments: of the program.
      timeout_s: for everything, transfer included, after a connection stands.
      memory_bytes: limit of the program's address space, None for no limit.
    """

    files: Mapping[str, bytes]
    program: str
    arguments: tuple[str, ...] = ()
    timeout_s: float = 120.0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.program not in self.files or any(Path(name).name != name for name in self.files):
            raise errors.EdgepackError(
                f"a job needs plain file names and its program among them; got {self.program!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a program ended that was left to end by itself.

    Attributes:
      code: its exit code.
      output: what it printed, at most 16 MB.
      last_words: the end of what it complained about.
      python: version of the Python that ran it, such as "3.11"; None where none was involved.
      emulated_on: the machine that really computed, where the device is an emulated one: its times mean nothing.
    """

    code: int
    output: str
    last_words: str = ""
    python: str | None = None
    emulated_on: str | None = None


class Transport(Protocol):
    """A way to one device. Every failure is one of `errors.DeviceError`'s kinds, none lasts beyond its time limit."""

    @property
    def where(self) -> str:
        """The device and the way to it in words, such as "rpi4 (ssh pi@pi.local)"."""

    def run(self, job: Job) -> Ran:
        """Takes the files there, runs the program, brings its output back, removes the files.

        Raises:
          DeviceError: each way to fail has a class of its own.
        """


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long to wait and where to work, from a profile's ``[connection]``.

    Attributes:
      python: command of the device's Python.
      folder: for temporary files there; None for the system's own.
      connect_timeout_s: until a connection must stand.
    """

    python: str = "python3"
    folder: str | None = None
    connect_timeout_s: int = 10

    @classmethod
    def of(cls, device: Device) -> Settings:
        """Those of a profile, or the defaults."""
        own = device.connection
        if own is None:
            return cls()
        return cls(python=own.python, folder=own.folder, connect_timeout_s=own.connect_timeout_s)


def content(path: Path) -> bytes:
    """A file's bytes.

    Raises:
      StorageError: it cannot be read.
    """
    with storage_errors(path):
        return path.read_bytes()
