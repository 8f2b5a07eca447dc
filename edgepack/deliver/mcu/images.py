"""Images that programmers and boot loaders write to flash: Intel HEX, UF2, LittleFS, ESP-IDF partition, MCUboot."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from edgepack import errors

HEX_ROW_BYTES: Final = 16
UF2_MAGIC: Final = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
UF2_FAMILY_PRESENT: Final = 0x00002000
UF2_PAYLOAD_BYTES: Final = 256
LITTLEFS_BLOCK_BYTES: Final = 4096
ESP_SECTOR_BYTES: Final = 4096
ESP_MODEL_SUBTYPE: Final = 0x40
"""First of the data partition subtypes that ESP-IDF leaves to the application."""
MCUBOOT_HEADER_BYTES: Final = 0x200
SIGNING_TIMEOUT_S: Final = 60


def intel_hex(data: bytes, address: int) -> bytes:
    """Intel HEX (Intel, "Hexadecimal Object File Format Specification", rev. A, 1988): 16 bytes a row.

    Args:
      address: of the first byte, below 2³² together with the data.
    """
    rows, upper = [], -1
    for start in range(0, len(data), HEX_ROW_BYTES):
        at = address + start
        # A row must not cross a 64 KiB border; rows of an unaligned address are cut there.
        piece = data[start : start + HEX_ROW_BYTES]
        while piece:
            if at >> 16 != upper:
                upper = at >> 16
                rows.append(_hex_row(4, 0, upper.to_bytes(2, "big")))
            room = 0x10000 - (at & 0xFFFF)
            rows.append(_hex_row(0, at & 0xFFFF, piece[:room]))
            at, piece = at + len(piece[:room]), piece[room:]
    rows.append(_hex_row(1, 0, b""))
    return ("\n".join(rows) + "\n").encode()


def _hex_row(kind: int, address: int, data: bytes) -> str:
    body = bytes([len(data)]) + address.to_bytes(2, "big") + bytes([kind]) + data
    return f":{(body + bytes([-sum(body) & 0xFF])).hex().upper()}"


def uf2(data: bytes, address: int, family: int) -> bytes:
    """UF2 (Microsoft, UF2 specification): 512-byte blocks of 256 bytes each, the last one padded with zeros."""
    count = -(-len(data) // UF2_PAYLOAD_BYTES)
    blocks = []
    for number in range(count):
        payload = data[number * UF2_PAYLOAD_BYTES :][:UF2_PAYLOAD_BYTES].ljust(UF2_PAYLOAD_BYTES, b"\0")
        head = (*UF2_MAGIC[:2], UF2_FAMILY_PRESENT, address + number * UF2_PAYLOAD_BYTES)
        header = struct.pack("<8I", *head, UF2_PAYLOAD_BYTES, number, count, family)
        blocks.append(header + payload.ljust(476, b"\0") + struct.pack("<I", UF2_MAGIC[2]))
    return b"".join(blocks)


def littlefs(data: bytes, name: str, size_bytes: int) -> bytes:
    """A LittleFS image with one file.

    Args:
      size_bytes: of the partition; rounded down to whole blocks of 4 KiB.

    Raises:
      MissingDependencyError: littlefs-python is not installed.
      GateError: the file does not fit.
    """
    try:
        from littlefs import LittleFS, LittleFSError
    except ImportError:
        raise _missing("littlefs-python", "LittleFS images") from None
    image = LittleFS(block_size=LITTLEFS_BLOCK_BYTES, block_count=size_bytes // LITTLEFS_BLOCK_BYTES)
    try:
        with image.open(name, "wb") as file:
            file.write(data)
    except LittleFSError:
        raise errors.GateError(
            f"the model ({len(data):,} bytes) does not fit a LittleFS of {size_bytes:,} bytes; its tables need room too"
        ) from None
    return bytes(image.context.buffer)


def esp_partition(name: str, size: int, address: int | None, slot_bytes: int | None) -> bytes:
    """A line for ESP-IDF's partitions.csv: a data partition of whole sectors.

    Raises:
      GateError: the slot is smaller than the model.
      BadInputError: slot or address do not lie on sector borders.
    """
    whole = -(-size // ESP_SECTOR_BYTES) * ESP_SECTOR_BYTES
    slot = slot_bytes or whole
    for what, value in (("--slot-bytes", slot), ("--flash-address", address or 0)):
        if value % ESP_SECTOR_BYTES:
            raise errors.BadInputError(
                f"{what} {value:#x}: ESP-IDF's partitions lie on sectors of {ESP_SECTOR_BYTES:#x} bytes"
            )
    place = "" if address is None else f"{address:#x}"
    # ESP-IDF takes 16 bytes for a label, the last of them 0.
    line = f"{name[:15]}, data, {ESP_MODEL_SUBTYPE:#x}, {place}, {slot:#x},\n"
    return f"# Name, Type, SubType, Offset, Size, Flags\n{line}".encode()


def mcuboot(data: bytes, *, key: Path, version: str, slot_bytes: int, security_counter: int | None) -> bytes:
    """An MCUboot image signed by imgtool, MCUboot's own tool.

    Raises:
      MissingDependencyError: imgtool is not installed.
      GateError: image and signature do not fit the slot.
      BadInputError: imgtool refuses the key.
    """
    numbers = [*version.split("-")[0].split("+")[0].split("."), "0", "0"][:3]
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source, target = Path(folder, "model.bin"), Path(folder, "signed.bin")
        source.write_bytes(data)
        words = [
            "sign",
            "--key",
            str(key.resolve()),
            "--header-size",
            hex(MCUBOOT_HEADER_BYTES),
            "--pad-header",
        ]
        words += ["--align", "4", "--slot-size", str(slot_bytes), "--version", ".".join(numbers)]
        words += [] if security_counter is None else ["--security-counter", str(security_counter)]
        answer = imgtool([*words, str(source), str(target)])
        if answer.returncode == 0:
            return target.read_bytes()
    said = (answer.stderr or answer.stdout).strip().splitlines()[-1:] or ["no reason given"]
    if "exceed" in said[0] or "larger" in said[0]:
        raise errors.GateError(f"the MCUboot image does not fit its slot of {slot_bytes:,} bytes: {said[0]}")
    raise errors.BadInputError(f"{key}: imgtool refused to sign with it: {said[0]}")


def imgtool(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs imgtool.

    Raises:
      MissingDependencyError: it is not installed.
    """
    command = [sys.executable, "-m", "imgtool.main", *words]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SIGNING_TIMEOUT_S)
    if "No module named" in answer.stderr:
        raise _missing("imgtool", "MCUboot images")
    return answer


def _missing(package: str, what: str) -> errors.MissingDependencyError:
    return errors.MissingDependencyError(f"{what} need the package {package}: pip install 'edgepack[mcu]'")
