"""What else than the inputs decides the bytes of a result: versions and the processor."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path

from edgepack import __version__

PACKAGES = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "numpy",
    "ai-edge-litert",
    "tflite-runtime",
    "tflite-micro",
    "ethos-u-vela",
)
APART = ("tflite-runtime", "tflite-micro", "ethos-u-vela")
"""Have no part in what stages make, so that a machine without them finds the same results; a step that uses one of them
names its version."""


@functools.cache
def versions() -> dict[str, str]:
    """Versions by distribution name, read without importing anything; absent packages are left out."""
    found = {"edgepack": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def processor() -> str:
    """Architecture plus a digest of the CPU's feature flags: other features may round sums differently."""
    flags = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                flags = line.partition(":")[2].strip()
                break
    except OSError:
        flags = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:12]}"


def build_key() -> dict[str, str]:
    """The part of every stage's cache key that stands for this machine and its software."""
    relevant = {name: version for name, version in versions().items() if name not in APART}
    return {**relevant, "processor": processor()}
