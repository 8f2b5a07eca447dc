"""Every way edgepack can fail, one class each, one exit code per kind.

The exit codes are a promise to scripts: 0 passed, 2 usage (click's own), and those below.
"""

from __future__ import annotations


class EdgepackError(Exception):
    """Root of the tree. The message says what happened, what was expected and how to mend it."""

    exit_code = 70


class GateError(EdgepackError):
    """A budget or an invariant is missed: the model was built but must not ship."""

    exit_code = 10


class BadInputError(EdgepackError):
    """Something the user handed in cannot be used."""

    exit_code = 65


class RecipeError(BadInputError):
    """The recipe or a device profile is wrong; names file, table and key."""


class ModelError(BadInputError):
    """The model file is broken, unsupported or refused; names the file and the layer."""


class DataError(BadInputError):
    """Calibration, evaluation or training data cannot be used; names the source and the array."""


class PackageError(BadInputError):
    """A package is damaged or not a package."""


class MeterError(BadInputError):
    """What a power meter tells cannot be made an energy of."""


class DeviceError(EdgepackError):
    """A device cannot be reached, or it or this machine lacks something that is needed."""

    exit_code = 69


class MissingDependencyError(DeviceError):
    """An optional part (TensorFlow, a runtime) is not installed."""


class ChildCrashError(EdgepackError):
    """A child process died or ran out of time or memory, and no remedy is left.

    Attributes:
      cause: "signal", "timeout", "memory", or "crash" for everything else.
      signal: the number of the signal that ended it, None where none did.
    """

    exit_code = 70

    def __init__(self, message: str = "", *, cause: str = "crash", signal: int | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.signal = signal


class ConversionError(EdgepackError):
    """The converter refused the graph cleanly, and no remedy is left."""

    exit_code = 70


class StorageError(EdgepackError):
    """Reading, writing or disk space failed."""

    exit_code = 74


class TrustError(EdgepackError):
    """Something asks for trust that was not given (``--trust-code``, ``--trust-input``) or does not deserve it."""

    exit_code = 77


class UnreachableError(DeviceError):
    """No connection: unknown host, nothing listens there, no route, no such port or cable."""

    exit_code = 80


class HostKeyError(DeviceError):
    """Somebody answers, but not with the key that is known of that host."""

    exit_code = 81


class LoginError(DeviceError):
    """The host is the right one and lets this user not in."""

    exit_code = 82


class NoPythonError(DeviceError):
    """The program that should run the model there does not start."""

    exit_code = 83


class PythonVersionError(DeviceError):
    """There is a Python, and it is too old."""

    exit_code = 84


class MissingWheelError(MissingDependencyError):
    """The device's Python lacks the interpreter or numpy."""

    exit_code = 85


class DeviceStorageError(StorageError):
    """The device's disk is full, or its folder cannot be written."""

    exit_code = 86


class DeviceMemoryError(ChildCrashError):
    """The device has not the memory."""

    exit_code = 87


class DeviceSignalError(ChildCrashError):
    """A signal ended the program on the device."""

    exit_code = 88


class DeviceTimeoutError(ChildCrashError):
    """The time was up; what ran on the device was ended."""

    exit_code = 89


class ConnectionLostError(DeviceError):
    """The connection broke while the program ran."""

    exit_code = 90


class TransferError(DeviceError):
    """What arrived on the device is not what was sent."""

    exit_code = 91


class DeviceProtocolError(DeviceError):
    """The device answered something else than the runner's status."""

    exit_code = 92
