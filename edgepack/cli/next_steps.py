"""What to do next after an error, by its class: the last line that a failed command writes."""

from __future__ import annotations

import signal
from typing import Final

from edgepack import errors

NEXT_STEPS: Final[dict[type[errors.EdgepackError], str]] = {
    errors.GateError: "compress less, fine-tune or allow more in [budget]; 'edgepack explain RUN' shows what costs what",
    errors.BadInputError: "give another file, or mend this one; 'edgepack inspect FILE' shows what is in it",
    errors.RecipeError: "mend the recipe, then 'edgepack check RECIPE'; recipes/README.md lists every key",
    errors.ModelError: "mend or replace the model file, then 'edgepack inspect MODEL'",
    errors.DataError: "mend the data or its [data.…] table, then 'edgepack check RECIPE'",
    errors.PackageError: "fetch the package again, or build it anew with 'edgepack build RECIPE'",
    errors.MeterError: "measure longer (--seconds) or mend the meter: it must print a number with its unit",
    errors.DeviceError: "see 'edgepack devices' for the profiles and 'edgepack doctor' for what is installed here",
    errors.MissingDependencyError: "install it as said above; 'edgepack doctor' shows what else is missing",
    errors.UnreachableError: "check its power, address, port and cable, then try again",
    errors.HostKeyError: "ask whoever runs the device whether its key was changed; until then nothing is sent there",
    errors.LoginError: "check the user and the key that your ssh offers, then try again",
    errors.NoPythonError: "install Python 3 on the device, or name it in the device profile",
    errors.PythonVersionError: "install a newer Python on the device, or name it in the device profile",
    errors.MissingWheelError: "install what is named above on the device, then try again",
    errors.ConnectionLostError: "try again; what the device was sent is checked before it is used",
    errors.TransferError: "try again; if it happens twice, check the device's disk and its connection",
    errors.DeviceProtocolError: "try again; if it happens twice, report it with the output above",
    errors.ChildCrashError: "free memory or use less data (--memory limits it), then run the same again: finished steps "
    "are kept",
    errors.DeviceMemoryError: "choose a smaller model or a device with more memory; 'edgepack explain' shows what is big",
    errors.DeviceSignalError: "run it again; if it happens twice, try another runtime on the device",
    errors.DeviceTimeoutError: "run it again with fewer samples or a longer time limit",
    errors.ConversionError: "change the layer that is named, or allow more in [quantize], then run the same again",
    errors.StorageError: "make room, or choose a folder that can be written, then run the same again: finished steps are "
    "kept",
    errors.DeviceStorageError: "make room on the device, or name another folder in its profile",
    errors.TrustError: "give a trust flag only if you trust who made the file; otherwise get it signed by somebody you do",
    errors.EdgepackError: "report it with the message above",
}
"""By class; a class that is not here takes its nearest parent's."""
OF_A_FILE: Final = frozenset({signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS})
"""Signals that kernels end by on a model that they cannot compute; more memory changes nothing."""
CRASHED: Final = (
    "look at the model with 'edgepack inspect', try another runtime (--runtime) or other [quantize] settings, and report "
    "it with the message above: finished steps are kept"
)


def next_step(error: errors.EdgepackError) -> str:
    """What to do about an error.

    Example:
      >>> next_step(errors.RecipeError("recipe.toml: not valid TOML"))
      "mend the recipe, then 'edgepack check RECIPE'; recipes/README.md lists every key"
    """
    if type(error) is errors.ChildCrashError and error.signal in OF_A_FILE:
        return CRASHED
    return next(NEXT_STEPS[kind] for kind in type(error).__mro__ if kind in NEXT_STEPS)
