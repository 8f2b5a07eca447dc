"""Finding device profiles: those that come with edgepack, those beside the recipe, a folder of the user's, or a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgepack import errors, tables
from edgepack.device.connection import Connection
from edgepack.device.profile import Device


def folders(beside: Path | None = None) -> tuple[Path, ...]:
    """Where profiles are looked for, first match wins: `devices/` beside the recipe, EDGEPACK_DEVICES, edgepack's own.

    Raises:
      DeviceError: EDGEPACK_DEVICES names no folder.
    """
    package = Path(__file__).resolve().parents[1]
    own = [folder for folder in (package / "_devices", package.parent / "devices") if folder.is_dir()][:1]
    theirs = [] if beside is None or not (beside / "devices").is_dir() else [(beside / "devices").resolve()]
    if named := os.environ.get("EDGEPACK_DEVICES"):
        if not Path(named).is_dir():
            raise errors.DeviceError(
                f"EDGEPACK_DEVICES={named}: no such folder; expected one of device profiles"
            )
        theirs.append(Path(named).resolve())
    return tuple(dict.fromkeys((*theirs, *own)))


def names(beside: Path | None = None) -> tuple[str, ...]:
    """Names of all profiles that can be found.

    Args:
      beside: folder of the recipe, whose `devices/` is looked into as well.
    """
    return tuple(sorted({file.stem for folder in folders(beside) for file in folder.glob("*.toml")}))


def load(device: str, *, beside: Path | None = None, host: str | None = None) -> Device:
    """Reads a profile.

    Args:
      device: name of a profile, or path of a .toml file; behind an "@" which device of that kind, as in
        "rpi4@pi@pi.local".
      beside: folder of the recipe, whose `devices/` is looked into first.
      host: which device it is, as what is behind the "@".

    Raises:
      DeviceError: no such device; the message has the nearest name.
      RecipeError: the profile is wrong.
    """
    kind, _, named = (device, "", "") if Path(device).is_file() else device.partition("@")
    profile = _read(kind, beside)
    return profile if not (named or host) else _at(profile, named or str(host))


def _read(name: str, beside: Path | None) -> Device:
    file = _find(name, beside)
    profile = tables.validate(Device, _whole(file, beside, ()), source=file)
    if profile.name != file.stem:
        raise errors.RecipeError(
            f'{file}: "name" is "{profile.name}"; expected the name of the file, "{file.stem}"'
        )
    return profile


def _whole(file: Path, beside: Path | None, seen: tuple[Path, ...]) -> dict[str, Any]:
    """A profile's keys with those of the one that it is like beneath; sources of both."""
    own = tables.read(file, noun="device profile")
    like = own.pop("like", None)
    if like is None:
        return own
    if not isinstance(like, str) or file in seen or like == file.stem:
        raise errors.RecipeError(f'{file}: "like": expected the name of another device; got {like!r}')
    kind = _whole(_find(like, beside), beside, (*seen, file))
    sources = [source for each in (kind, own) for source in each.get("source", ())]
    return {**kind, **own, "source": sources}


def _at(profile: Device, host: str) -> Device:
    """The profile of one device of its kind.

    Raises:
      RecipeError: no name of a host.
    """
    known = profile.connection.model_dump(exclude_unset=True) if profile.connection else {}
    connection = tables.validate(Connection, {**known, "host": host}, source=f'device "{profile.name}"')
    return profile.model_copy(update={"connection": connection})


def _find(device: str, beside: Path | None) -> Path:
    if device.endswith(".toml") or "/" in device:
        if Path(device).is_file():
            return Path(device)
        raise errors.DeviceError(f"{device}: no such device profile")
    for folder in folders(beside):
        if (folder / f"{device}.toml").is_file():
            return folder / f"{device}.toml"
    raise errors.DeviceError(f'device "{device}" is unknown{tables.nearest(device, names(beside))}')
