"""Writes a model into a board's flash by the tool that its profile names, and reads it back.

Tools are programs of their own, run with a list of words and never through a shell. What is written is first checked:
signature, sizes, place in the flash.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.deliver.mcu import images
from edgepack.deliver.mcu.form import form_for
from edgepack.deliver.subject import Subject
from edgepack.device import Device
from edgepack.device.profile import Programmer
from edgepack.durable import storage_errors, write_atomically

TIMEOUT_S: Final = 300
INSTALLED_BY: Final = {"esptool": "pip install esptool", "pyocd": "pip install pyocd"}
UF2_INFO: Final = "INFO_UF2.TXT"
"""Every UF2 boot loader shows this file on its drive."""


@dataclass(frozen=True, kw_only=True)
class Flashed:
    """What was done.

    Attributes:
      tool: by which.
      address: of the model's first byte.
      size: bytes written, as the model has them.
      verified: whether the bytes were read back and are equal; False where the board cannot be read after writing.
      remark: why not.
    """

    tool: str
    address: int
    size: int
    verified: bool
    remark: str = ""


def flash(
    subject: Subject, board: Device, *, port: str | None, address: int, slot_bytes: int | None
) -> Flashed:
    """Writes the model at `address`.

    Args:
      port: serial port for esptool, probe for pyOCD (None: the only one), folder of the drive for UF2.
      address: as the tool counts; inside the board's flash.
      slot_bytes: what the model may take there; None for up to the end of the flash.

    Raises:
      BadInputError: the profile names no programmer, or the address lies outside the flash.
      GateError: the model does not fit.
      DeviceError: the tool failed, or what was read back is not the model.
      MissingDependencyError: the tool is not installed.
    """
    way = board.programmer
    if way is None:
        raise errors.BadInputError(
            f"{board.name}: its profile has no [programmer]; edgepack cannot write to it"
        )
    model = form_for(subject, board).data
    _require_place(subject.name, len(model), board, way, address, slot_bytes)
    return _WAYS[way.tool](model, way, port, address)


def _require_place(
    name: str, size: int, board: Device, way: Programmer, address: int, slot_bytes: int | None
) -> None:
    flash_bytes = board.flash_bytes or 0
    end = way.flash_base + flash_bytes
    if not way.flash_base <= address < end:
        raise errors.BadInputError(
            f"address {address:#x}: {board.name}'s flash is from {way.flash_base:#x} to {end:#x}"
        )
    room = min(end - address, slot_bytes if slot_bytes is not None else flash_bytes)
    if size > room:
        raise errors.GateError(f"{name}: {size:,} bytes do not fit the {room:,} at {address:#x}")
    if address % images.ESP_SECTOR_BYTES:
        raise errors.BadInputError(
            f"address {address:#x}: flash is erased in sectors of {images.ESP_SECTOR_BYTES:#x} bytes; take a multiple"
        )


def _by_esptool(model: bytes, way: Programmer, port: str | None, address: int) -> Flashed:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source, back = Path(folder, "model.bin"), Path(folder, "back.bin")
        source.write_bytes(model)
        link = ["--chip", way.target, *(["--port", port] if port else [])]
        _run("esptool", [*link, "write-flash", f"{address:#x}", str(source)])
        _run("esptool", [*link, "read-flash", f"{address:#x}", str(len(model)), str(back)])
        _require_equal(model, back)
    return Flashed(tool="esptool", address=address, size=len(model), verified=True)


def _by_pyocd(model: bytes, way: Programmer, port: str | None, address: int) -> Flashed:
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source, back = Path(folder, "model.bin"), Path(folder, "back.bin")
        source.write_bytes(model)
        link = ["--target", way.target, *(["--uid", port] if port else [])]
        _run("pyocd", ["load", *link, "--base-address", f"{address:#x}", "--format", "bin", str(source)])
        # The commander splits its command at spaces: the folder's name has none.
        _run("pyocd", ["commander", *link, "--command", f"savemem {address:#x} {len(model):#x} {back}"])
        _require_equal(model, back)
    return Flashed(tool="pyocd", address=address, size=len(model), verified=True)


def _by_uf2(model: bytes, way: Programmer, port: str | None, address: int) -> Flashed:
    if port is None:
        raise errors.BadInputError("--port: expected the folder where the board's UF2 drive is mounted")
    drive = Path(port)
    if not (drive / UF2_INFO).is_file():
        raise errors.DeviceError(
            f"{drive}: is no UF2 drive (it has no {UF2_INFO}); hold BOOTSEL while plugging the board in, and mount it"
        )
    image = images.uf2(model, address, int(way.target, 16))
    target = drive / "model.uf2"
    with storage_errors(target, needed_bytes=len(image)):
        write_atomically(target, image) if _is_ordinary(drive) else target.write_bytes(image)
    made = {"tool": "uf2", "address": address, "size": len(model)}
    try:
        back = target.read_bytes()
    except OSError:  # the boot loader took the file and restarted: the drive is gone, as it should be
        remark = "the board restarted and cannot be read over its drive; picotool verify reads it back"
        return Flashed(**made, verified=False, remark=remark)  # type: ignore[arg-type]
    if back != image:
        raise errors.DeviceError(f"{target}: reads back differently; the board did not take it, try again")
    return Flashed(**made, verified=True)  # type: ignore[arg-type]


def _is_ordinary(drive: Path) -> bool:
    """Whether files there can be renamed: a boot loader's drive takes the first file that is written, whatever its name."""
    return not drive.is_mount()


_WAYS: Final[dict[str, Callable[[bytes, Programmer, str | None, int], Flashed]]] = {
    "esptool": _by_esptool,
    "pyocd": _by_pyocd,
    "uf2": _by_uf2,
}


def _run(tool: str, words: list[str]) -> None:
    program = shutil.which(tool)
    if program is None:
        raise errors.MissingDependencyError(f"{tool} is not installed: {INSTALLED_BY[tool]}")
    try:
        answer = subprocess.run(
            [program, *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise errors.DeviceError(
            f"{tool} did not come to an end in {TIMEOUT_S} s; is the board connected?"
        ) from None
    if answer.returncode != 0:
        said = (answer.stderr.strip() or answer.stdout.strip() or "nothing").splitlines()[-1]
        raise errors.DeviceError(
            f"{tool} {words[0] if not words[0].startswith('-') else words[-3]} failed: {said}"
        )


def _require_equal(model: bytes, back: Path) -> None:
    found = back.read_bytes() if back.is_file() else b""
    if found != model:
        raise errors.DeviceError(
            f"what was read back is not the model ({len(found):,} bytes of {len(model):,}); write again before this "
            "board is used"
        )
