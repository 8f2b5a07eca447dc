"""The releases that `pip install --require-hashes` takes: one for everything that is needed, as pyproject.toml allows it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints" / "build.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOR_DEVELOPMENT = {"bench", "dev"}
"""Extras that no user needs, so that nothing of theirs is pinned."""
MACHINES = [
    {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "implementation_name": "cpython",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    for python in ("3.10", "3.11", "3.12")
    for machine in ("x86_64", "aarch64")
]


def entries() -> Iterator[tuple[Requirement, list[str]]]:
    """Every pinned release with its hashes."""
    text = FILE.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pinned, *hashes = line.split("--hash=")
            yield Requirement(pinned), [each.strip() for each in hashes]


PINS = list(entries())


def pins(machine: dict[str, str], extra: str = "") -> dict[str, str]:
    """Name → version of what is taken on a machine."""
    found: dict[str, str] = {}
    for pin, _ in PINS:
        if pin.marker is None or pin.marker.evaluate({**machine, "extra": extra}):
            name = canonicalize_name(pin.name)
            assert name not in found, f"{name} is pinned twice for {machine}; run 'make lock'"
            (version,) = pin.specifier
            found[name] = version.version
    return found


def wanted(machine: dict[str, str]) -> Iterator[Requirement]:
    """What pyproject.toml asks for on a machine, all extras of users included."""
    extras = PROJECT["optional-dependencies"]
    listed = [extras[name] for name in sorted(set(extras) - FOR_DEVELOPMENT)]
    for text in [*PROJECT["dependencies"], *(text for extra in listed for text in extra)]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({**machine, "extra": ""}):
            yield requirement


def test_every_line_is_one_release_with_hashes() -> None:
    assert len(PINS) > 50
    for pin, hashes in PINS:
        (version,) = pin.specifier
        assert version.operator == "==" and "*" not in version.version, pin
        assert pin.url is None and not pin.extras, pin
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), pin


def test_no_place_to_fetch_from_is_named() -> None:
    """Where packages come from is its user's affair, and options in the file would overrule it."""
    text = FILE.read_text()
    assert "://" not in text
    assert set(re.findall(r"(?<!\S)--?\w[\w-]*", text)) == {"--hash"}


@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda machine: "{python_version}-{platform_machine}".format(**machine)
)
def test_it_holds_what_pyproject_asks_for(machine: dict[str, str]) -> None:
    found = pins(machine)
    for requirement in wanted(machine):
        version = found.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not pinned; run 'make lock'"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}; run 'make lock'"


def test_the_makefile_locks_every_extra_of_users() -> None:
    (line,) = re.findall(r"^LOCKED := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(line.split()) == set(PROJECT["optional-dependencies"]) - FOR_DEVELOPMENT


def test_what_the_pinned_releases_need_is_pinned_too() -> None:
    """Asked of those that are installed here in the very release that is pinned."""
    machine = {key: str(value) for key, value in default_environment().items()}
    found = pins(machine)
    installed = {canonicalize_name(each.name): each for each in metadata.distributions()}
    known = 0
    for name, version in found.items():
        if name in installed and installed[name].version == version:
            known += 1
            for text in installed[name].requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({**machine, "extra": ""}):
                    assert canonicalize_name(needed.name) in found, f"{name} needs {text}; run 'make lock'"
    assert known
