"""An emulated board that is set up: how programs are started on it."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.durable import write_atomically
from edgepack.emulation.processors import processor

PYTHON: Final = "usr/bin/python3.11"
NOT_FOR_GUEST: Final = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "OPENBLAS_CORETYPE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
)
"""Variables that are meant for the host's programs."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One board in a set-up folder (see `setup`).

    Attributes:
      device: its name.
      folder: with ``host`` (qemu and its libraries), ``root`` (Debian), ``site`` (Python packages), ``boards``.
    """

    device: str
    folder: Path

    @property
    def loader(self) -> Path:
        """The host's dynamic loader, from the same Debian as qemu's libraries.

        Raises:
          DeviceError: it is gone.
        """
        found = sorted((self.folder / "host").glob("lib*/ld-linux*.so.*"))
        if not found:
            raise errors.DeviceError(
                f"{self.folder}: the set-up is damaged; run: edgepack devices emulate {self.device} --again"
            )
        return found[0]

    def qemu(self, options: Sequence[str] = ()) -> list[str]:
        """Command prefix that runs an aarch64 program, with further options of qemu."""
        host = self.folder / "host"
        libraries = sorted({file.parent for file in host.rglob("*.so.*")})
        return [
            str(self.loader),
            "--library-path",
            ":".join(map(str, libraries)),
            str(host / "usr" / "bin" / "qemu-aarch64"),
            *("-cpu", processor(self.device).model),
            *("-L", str(self.folder / "boards" / self.device)),
            *(part for name in NOT_FOR_GUEST if name != "PYTHONPATH" for part in ("-U", name)),
            *options,
        ]

    def python(
        self, *, paths: Sequence[Path] = (), options: Sequence[str] = (), keep_bytecode: bool = False
    ) -> list[str]:
        """Command prefix that runs the board's Python, which has LiteRT, tflite-runtime and numpy.

        Programs that it starts itself must be the host's: the kernel here runs no aarch64 files.

        Args:
          paths: folders to import from besides.
          options: further options of qemu.
          keep_bytecode: write what Python compiles beside the packages.
        """
        found = ":".join(str(path) for path in (*(path.absolute() for path in paths), self.folder / "site"))
        prefix = self.qemu([*("-E", f"PYTHONPATH={found}"), *options])
        return [*prefix, str(self.folder / "root" / PYTHON), *(() if keep_bytecode else ("-B",))]

    def version(self, distribution: str) -> str:
        """Of a Python package there, such as "ai-edge-litert"."""
        found = importlib.metadata.distributions(name=distribution, path=[str(self.folder / "site")])
        return next(iter(found)).version

    def wrapper(self, path: Path) -> Path:
        """Writes an executable script that is the board's Python to whoever runs it, such as an ssh server.

        Raises:
          StorageError: it cannot be written.
        """
        write_atomically(path, f'#!/bin/sh\nexec {shlex.join(self.python())} "$@"\n'.encode())
        path.chmod(0o755)
        return path
