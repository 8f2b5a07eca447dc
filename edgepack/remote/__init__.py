"""Programs on devices: files there, a program run, its output back, and every way to fail told apart."""

from edgepack.remote.job import Job, Ran, Settings, Transport
from edgepack.remote.reaching import reach

__all__ = ["Job", "Ran", "Settings", "Transport", "reach"]
