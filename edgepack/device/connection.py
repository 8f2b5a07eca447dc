"""``[connection]``: which device it is, of the many of its kind, and how it likes to be spoken to."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

HOST: Final = r"^(?:ssh://)?(?:[A-Za-z0-9_.+-]+@)?[A-Za-z0-9/][A-Za-z0-9_.:/-]*(?:%[A-Za-z0-9_.-]+)?$"
"""A host as ssh takes it, an adb serial number, or a serial port: never an option, never a shell's word."""
PROGRAM: Final = r"^[A-Za-z0-9_./~+][A-Za-z0-9_./~+-]*$"
FOLDER: Final = r"^/[A-Za-z0-9_./+-]*$"


class Connection(BaseModel):
    """Where one device is. Seldom in a profile that comes with edgepack: those are of kinds of devices."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    host: Annotated[str, Field(pattern=HOST, max_length=255)] | None = None
    """ssh: user@name, an alias of ~/.ssh/config, or ssh://user@name:port. adb: serial number. serial: port, such as
    /dev/ttyACM0. What ``--device NAME@HOST`` or ``--host`` say goes before it."""
    python: Annotated[str, Field(pattern=PROGRAM, max_length=255)] = "python3"
    """Command of the Python that has the runtime; a login shell over ssh may have another PATH, so a full path is best."""
    folder: Annotated[str, Field(pattern=FOLDER, max_length=255)] | None = None
    """For temporary files on the device; the system's own where absent."""
    connect_timeout_s: Annotated[int, Field(gt=0, le=600)] = 10
    """Until a connection must stand."""
    timeout_s: Annotated[int, Field(gt=0, le=86_400)] = 300
    """For one measurement, transfer included."""
    baud: Annotated[int, Field(gt=0, le=10_000_000)] = 115_200
    """Of a serial port."""
    benchmark_model: Annotated[str, Field(pattern=FOLDER, max_length=255)] | None = None
    """adb: path on the device of LiteRT's benchmark_model, which measures there."""
