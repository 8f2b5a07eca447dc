"""devices/*.toml → `Device`: what a target has, what its runtime can run, which size it budgets."""

from edgepack.device.connection import Connection
from edgepack.device.latency import latency_model
from edgepack.device.profile import Device, Source, describe
from edgepack.device.shipped import load, names

__all__ = ["Connection", "Device", "Source", "describe", "latency_model", "load", "names"]
