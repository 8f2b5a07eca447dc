"""A real ssh server on loopback, with keys, configuration and known hosts of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgepack.remote.job import Settings
from edgepack.remote.ssh import Ssh

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
STARTUP_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Loopback:
    """Where the server listens, and what a client needs to log in.

    Attributes:
      folder: with ``key`` and ``host_key`` (and ``.pub`` of each) and ``known_hosts``.
      scratch: for the device's temporary files; empty before each test.
    """

    port: int
    folder: Path
    scratch: Path

    def config(self, name: str, **changed: str) -> Path:
        """An ssh configuration whose host "device" is this server, with some settings changed."""
        settings = {
            "HostName": "127.0.0.1",
            "Port": str(self.port),
            "User": getpass.getuser(),
            "IdentityFile": str(self.folder / "key"),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "GlobalKnownHostsFile": "/dev/null",
            **changed,
        }
        path = self.folder / f"config-{name}"
        path.write_text("Host device\n" + "".join(f"  {key} {value}\n" for key, value in settings.items()))
        return path

    def ssh(
        self, *, python: str = sys.executable, folder: Path | None = None, connect_timeout_s: int = 10
    ) -> Ssh:
        return Ssh(
            name="rpi4",
            host="device",
            settings=Settings(
                python=python, folder=str(folder or self.scratch), connect_timeout_s=connect_timeout_s
            ),
        )


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no ssh server here: apt-get install openssh-server openssh-client")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("key", "host_key"):
        make_key(folder / name)
    shutil.copy(folder / "key.pub", folder / "authorized_keys")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where Debian's sshd separates privileges
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nMaxStartups 100\n"
    )
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    try:
        _await(port, process, folder / "log")
        yield Loopback(port=port, folder=folder, scratch=tmp_path_factory.mktemp("device"))
    finally:
        process.terminate()
        process.wait(timeout=30)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTUP_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"sshd did not start: {log.read_text()}")


@pytest.fixture
def loopback(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """The server, reached by the host name "device"."""
    for left in server.scratch.iterdir():
        shutil.rmtree(left)
    monkeypatch.setenv("EDGEPACK_SSH_CONFIG", str(server.config("good")))
    return server
