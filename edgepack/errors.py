"""Every way edgepack can fail, one class each, one exit code per kind.

The exit codes are a promise to scripts: 0 passed, 2 usage (click's own), and those below.
"""


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


class DeviceError(EdgepackError):
    """A device cannot be reached, or it or this machine lacks something that is needed."""

    exit_code = 69


class MissingDependencyError(DeviceError):
    """An optional part (TensorFlow, a runtime) is not installed."""


class ChildCrashError(EdgepackError):
    """A child process died or ran out of time or memory, and no remedy is left."""

    exit_code = 70


class ConversionError(EdgepackError):
    """The converter refused the graph cleanly, and no remedy is left."""

    exit_code = 70


class StorageError(EdgepackError):
    """Reading, writing or disk space failed."""

    exit_code = 74


class TrustError(EdgepackError):
    """Something asks for trust that was not given (``--trust-code``, ``--trust-input``) or does not deserve it."""

    exit_code = 77
