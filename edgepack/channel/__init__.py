"""The build side of updates over the air: a TUF repository of packages for a device family.

The Update Framework specification 1.0.34, by python-tuf, with Ed25519 keys: `edgepack-agent` on the device reads it with
TUF's own client.
"""

from edgepack.channel.repository import Channel, Release, create

__all__ = ["Channel", "Release", "create"]
