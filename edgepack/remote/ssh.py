"""By the user's own OpenSSH: their configuration, agent, jump hosts and known hosts, and never a question asked."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import Final

from edgepack import errors
from edgepack.remote.exchange import Exchange
from edgepack.remote.job import Job, Ran, Settings
from edgepack.remote.kept import PYTHON_LINE, Kept, bootstrap, keeper

OPTIONS: Final = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "RequestTTY=no",
    "RemoteCommand=none",
    "EscapeChar=none",
    "LogLevel=INFO",  # without it the client does not say that the connection broke
)
SSH_FAILED: Final = 255
NOT_FOUND: Final = (126, 127)
HOST_KEY: Final = re.compile(
    r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No \S+ host key is known"
)
CHANGED: Final = "REMOTE HOST IDENTIFICATION HAS CHANGED"
LOGIN: Final = re.compile(
    r"Permission denied \(|Too many authentication failures|No supported authentication methods"
)
LOST: Final = re.compile(
    r"closed by remote host|Connection reset|Broken pipe|not responding|Connection closed|Software caused connection abort"
)


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """A device behind ``ssh HOST``.

    Attributes:
      name: of its profile.
      host: as ssh takes it: user@name, an alias of ~/.ssh/config, or ssh://user@name:port.
    """

    name: str
    host: str
    settings: Settings

    @property
    def where(self) -> str:
        return f"{self.name} (ssh {self.host})"

    def command(self) -> list[str]:
        """The local command that carries the keeper there.

        EDGEPACK_SSH_CONFIG names another configuration than the user's own, for automation.
        """
        own = os.environ.get("EDGEPACK_SSH_CONFIG")
        options = [word for option in self._options() for word in ("-o", option)]
        remote = f"{self.settings.python} -c {shlex.quote(bootstrap(len(keeper())))}"
        return ["ssh", *(("-F", own) if own else ()), *options, "-T", "--", self.host, remote]

    def _options(self) -> list[str]:
        return [*OPTIONS, f"ConnectTimeout={self.settings.connect_timeout_s}"]

    def run(self, job: Job) -> Ran:
        found, ran = Kept(self.where, self.settings).run_by(self.command(), job)
        if ran is None:
            raise self._explained(found)
        return ran

    def _explained(self, found: Exchange) -> errors.EdgepackError:
        """Why there is no report, from ssh's exit code and what it said."""
        said = found.complaints.decode(errors="replace").strip()
        began = PYTHON_LINE.search(found.output) is not None
        if found.code != SSH_FAILED:
            return self._not_started(found.code, said) if not began else self._no_report(found.code, said)
        if began and LOST.search(said):
            return errors.ConnectionLostError(
                f"{self.where}: the connection broke while the program ran; it is ended there as soon as the device "
                f"notices. ssh says: {_last(said)}"
            )
        if began:
            return errors.DeviceSignalError(
                f"{self.where}: a signal ended edgepack's program on the device from outside, before it could report"
            )
        if HOST_KEY.search(said):
            return self._strange_key(said)
        if LOGIN.search(said):
            return errors.LoginError(
                f"{self.where}: login refused: {_last(said)}; edgepack never asks for passwords: put a key there "
                f"(ssh-copy-id {self.host}) or load one into the agent (ssh-add)"
            )
        return errors.UnreachableError(
            f"{self.where}: cannot be reached: {_last(said)}; is it on, is the name right, does 'ssh {self.host}' work?"
        )

    def _strange_key(self, said: str) -> errors.HostKeyError:
        if CHANGED in said:
            return errors.HostKeyError(
                f"{self.where}: its host key is not the one that is known: another device answers there, or its system "
                "was installed anew. Nothing was sent. If you know why, remove the old key with ssh-keygen -R and log "
                "in once by hand"
            )
        return errors.HostKeyError(
            f"{self.where}: its host key is not known yet, and edgepack trusts no key that it sees for the first time: "
            f"log in once by hand ('ssh {self.host}') and compare the fingerprint"
        )

    def _not_started(self, code: int | None, said: str) -> errors.DeviceError:
        if code in NOT_FOUND or "not found" in said:
            return errors.NoPythonError(
                f"{self.where}: no Python there by the name {self.settings.python}: {_last(said)}; install it, or name "
                'it in the profile, [connection] python = "/path/to/python3" (a login shell may have another PATH)'
            )
        return errors.DeviceProtocolError(
            f"{self.where}: expected Python to start, but the command ended with code {code}: {_last(said)}"
        )

    def _no_report(self, code: int | None, said: str) -> errors.EdgepackError:
        if code is not None and 128 < code < 160:  # how a shell or an emulator in between reports a signal
            return errors.DeviceSignalError(
                f"{self.where}: signal {code - 128} ended edgepack's program on the device, before it could report"
            )
        return errors.DeviceProtocolError(
            f"{self.where}: edgepack's program there ended with code {code} and no report: {_last(said)}"
        )


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"
