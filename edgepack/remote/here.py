"""On this machine, as if it were a device: by the Python that runs edgepack."""

from __future__ import annotations

from dataclasses import dataclass

from edgepack import errors
from edgepack.remote.job import Job, Ran, Settings
from edgepack.remote.kept import Kept, bootstrap, keeper


@dataclass(frozen=True, kw_only=True)
class Here:
    """The keeper as a child of this process.

    Attributes:
      name: of the device's profile.
      settings: whose `python` is the path of the Python to run.
    """

    name: str
    settings: Settings

    @property
    def where(self) -> str:
        return f"{self.name} (this machine)"

    def run(self, job: Job) -> Ran:
        command = [self.settings.python, "-c", bootstrap(len(keeper()))]
        found, ran = Kept(self.where, self.settings).run_by(command, job)
        if ran is not None:
            return ran
        said = found.complaints.decode(errors="replace").strip().splitlines()
        if found.code is not None and found.code < 0:
            raise errors.DeviceSignalError(
                f"{self.where}: signal {-found.code} ended edgepack's program from outside"
            )
        raise errors.DeviceProtocolError(
            f"{self.where}: edgepack's program ended with code {found.code} and no report: {said[-1] if said else ''}"
        )
