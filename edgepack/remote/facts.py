"""Runs on the device: prints what it is as one line of JSON. Needs Python's standard library only."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("ai-edge-litert", "tflite-runtime", "numpy")


def facts() -> dict[str, Any]:
    """Processor, memory, system, Python and runtimes; None for what the system does not tell."""
    cpuinfo = _text("/proc/cpuinfo")
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _text("/proc/meminfo"), re.M)
    clock = _text("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()
    features = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", cpuinfo, re.M)
    return {
        "machine": platform.machine(),
        "cpu": _board() or _field(cpuinfo, "model name") or _field(cpuinfo, "Hardware") or platform.machine(),
        "cores": os.cpu_count(),
        "clock_mhz": int(clock) // 1000 if clock.isdigit() else None,
        "features": sorted(set(features[1].split())) if features else [],
        "memory_bytes": int(memory[1]) * 1024 if memory else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "python_path": sys.executable,
        "runtimes": {name: version for name in DISTRIBUTIONS if (version := _version(name))},
    }


def _board() -> str:
    return _text("/proc/device-tree/model").strip("\0 \n")


def _field(cpuinfo: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", cpuinfo, re.M)
    return found[1].strip() if found else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    print("edgepack-facts " + json.dumps(facts()))
