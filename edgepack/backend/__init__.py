"""The one door to TensorFlow, seen from the parent: a child process that is asked by JSON lines.

The parent never imports TensorFlow. `Backend` starts ``python -m edgepack.backend`` when it is first needed and
keeps it for the whole build, so TensorFlow is imported once. Each operation reads files and writes files; a child that
dies costs the running operation only, and the next call starts a fresh one.
"""

from edgepack.backend.client import Backend, Progress

__all__ = ["Backend", "Progress"]
