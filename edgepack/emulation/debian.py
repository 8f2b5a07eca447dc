"""Debian packages without root and beside the host's own apt: its mirror, but lists, state and cache apart.

apt checks every package against indexes that Debian has signed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.emulation.commands import output_of

SUITE: Final = "bookworm"
"""Debian 12: the one whose Python is 3.11, the newest that tflite-runtime has wheels for."""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BY_HAND: Final = "setting up needs Debian or a relative of it, with apt and dpkg"
NO_MIRROR: Final = (
    "apt knows no mirror of Debian's main archive; name one: edgepack devices emulate NAME --mirror URL"
)
NETWORK: Final = "is the mirror reachable? (another one: --mirror URL)"


def host_architecture() -> str:
    """What dpkg calls this machine, such as "amd64"."""
    return output_of(
        ["dpkg", "--print-architecture"], purpose="tell this machine's architecture", remedy=BY_HAND
    ).strip()


def host_mirror() -> str:
    """The mirror of Debian's main archive that the host's own apt uses.

    Raises:
      DeviceError: there is no apt, or it uses none.
    """
    format_ = "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    listed = output_of(
        ["apt-get", "indextargets", "--format", format_, "Created-By: Packages"],
        purpose="ask apt for its mirror",
        remedy=BY_HAND,
    )
    rows = [line.split(" ") for line in listed.splitlines()]
    main = [row for row in rows if len(row) == 4 and row[2] == "main"]
    # Before `apt-get update` nothing is known of an archive's origin: a release's plain name then has to do.
    ours = [row[0] for row in main if row[3] == "Debian" and re.fullmatch("[a-z]+", row[1])]
    likely = [row[0] for row in main if row[3] == "" and row[1] == SUITE]
    if not ours and not likely:
        raise errors.DeviceError(NO_MIRROR)
    return (ours or likely)[0]


class Archive:
    """One architecture's packages from one mirror, with an apt state of its own in a folder."""

    def __init__(self, folder: Path, *, architecture: str, mirror: str) -> None:
        """Writes the settings; nothing is fetched yet.

        Raises:
          DeviceError: Debian's keys are missing, or `mirror` is no URL.
        """
        if not KEYRING.is_file():
            raise errors.DeviceError(
                f"{KEYRING} is missing, with which Debian's packages are checked; apt-get install debian-archive-keyring"
            )
        if re.fullmatch(r"(https?|file|mirror\+https?):/[^\s\[\]]+", mirror) is None:
            raise errors.DeviceError(f"mirror {mirror!r} is no URL of a Debian archive; expected http(s)://…")
        self._cache = folder / "cache" / "archives"
        for each in (folder / "lists" / "partial", self._cache / "partial", folder / "none"):
            each.mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
        settings = folder / "apt.conf"
        settings.write_text("\n".join((*_reaching_out(), *_apart(folder, architecture))) + "\n")
        self._environment = {"APT_CONFIG": str(settings)}

    def fetch(self, packages: Sequence[str]) -> list[Path]:
        """Downloads packages and all that they depend on: .deb files, in order of their names."""
        self._run(["apt-get", "-qq", "update"], "read the list of Debian's packages")
        self._run(
            ["apt-get", "-qq", "-y", "--download-only", "install", *packages], "download Debian's packages"
        )
        return sorted(self._cache.glob("*.deb"))

    def _run(self, command: list[str], purpose: str) -> None:
        output_of(command, purpose=purpose, remedy=NETWORK, environment=self._environment)


def unpack(package: Path, root: Path) -> None:
    """Lays a package's files under `root`; none of its scripts is run."""
    output_of(["dpkg-deb", "-x", str(package), str(root)], purpose=f"unpack {package.name}", remedy=BY_HAND)


def _apart(folder: Path, architecture: str) -> list[str]:
    """Settings that keep apt to `folder`."""
    return [
        f'APT::Architecture "{architecture}";',
        f'APT::Architectures {{ "{architecture}"; }};',
        'APT::Install-Recommends "0";',
        'APT::Sandbox::User "root";',  # _apt could not write here
        'Acquire::Languages "none";',
        'Acquire::Retries "3";',
        'Debug::NoLocking "1";',
        f'Dir::State "{folder}";',
        f'Dir::State::status "{folder}/status";',
        f'Dir::State::lists "{folder}/lists";',
        f'Dir::Cache "{folder}/cache";',
        f'Dir::Etc::sourcelist "{folder}/sources.list";',
        f'Dir::Etc::sourceparts "{folder}/none";',
        f'Dir::Etc::main "{folder}/none/apt.conf";',
        f'Dir::Etc::parts "{folder}/none";',
    ]


def _reaching_out() -> list[str]:
    """The host's own settings of how to reach a mirror: proxies, certificates."""
    dumped = output_of(["apt-config", "dump"], purpose="read apt's settings", remedy=BY_HAND)
    return [line for line in dumped.splitlines() if re.match(r"Acquire::(https?|Force\w+)\b", line)]
