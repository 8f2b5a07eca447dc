"""A profile → the way to its device."""

from __future__ import annotations

import sys
from dataclasses import replace

from edgepack import errors
from edgepack.device import Device
from edgepack.remote.here import Here
from edgepack.remote.job import Settings, Transport
from edgepack.remote.ssh import Ssh


def reach(device: Device) -> Transport:
    """The way to a device; nothing is tried yet.

    Raises:
      DeviceError: the profile does not say which device, or there is no way to run programs there.
    """
    settings = Settings.of(device)
    if device.transport == "local":
        return Here(name=device.name, settings=replace(settings, python=sys.executable))
    if device.transport == "ssh":
        return Ssh(name=device.name, host=host_of(device), settings=settings)
    raise errors.DeviceError(
        f'{device.name}: transport = "{device.transport}": edgepack cannot run programs there'
    )


def host_of(device: Device) -> str:
    """Which device it is.

    Raises:
      DeviceError: nobody says.
    """
    if device.connection is None or device.connection.host is None:
        raise errors.DeviceError(
            f"{device.name}: the profile says what kind of device it is, not which one: add --device "
            f"{device.name}@USER@HOST or --host USER@HOST, or a profile of your own with [connection] host"
        )
    return device.connection.host
