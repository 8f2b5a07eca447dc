"""Programs that setting up needs, run with a time limit and explained where they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from edgepack import errors

TIMEOUT_S: Final = 600.0
LAST_WORDS_LINES: Final = 4


def output_of(
    command: Sequence[str],
    *,
    purpose: str,
    remedy: str,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """What a program prints.

    Args:
      command: program and arguments; no shell is involved.
      purpose: what it is run for, such as "download the packages".
      remedy: what the user can do where that fails.
      environment: variables besides this process's own.
      timeout_s: wall time after which it is ended.

    Raises:
      DeviceError: it isn't there, failed, or took too long; has its last words and `remedy`.
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise errors.DeviceError(
            f"cannot {purpose}: {command[0]} cannot be run: {error.strerror}; {remedy}"
        ) from error
    except subprocess.TimeoutExpired:
        raise errors.DeviceError(
            f"cannot {purpose}: {command[0]} did not finish within {timeout_s:g} s; {remedy}"
        ) from None
    if done.returncode != 0:
        raise errors.DeviceError(
            f"cannot {purpose}: {command[0]} ended with code {done.returncode}; {remedy}{last_words(done.stderr)}"
        )
    return done.stdout.decode(errors="replace")


def last_words(log: bytes) -> str:
    """The end of what a program complained about, ready to follow a message; "" where it said nothing."""
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()][-LAST_WORDS_LINES:]
    return "; its last words:\n" + "\n".join("    " + line for line in lines) if lines else ""
