"""Results of stages, found again by what made them: content-addressed, atomic, locked, re-hashed on use.

    ROOT/entries/ab/<key>/      entry.json and the files it lists
    ROOT/locks/<key>.lock       flock'ed while somebody builds the key; freed if the builder dies
    ROOT/scratch/<pid>-<x>/     one living process's temporary files; flock'ed likewise, to tell dead ones
    ROOT/quarantine/<key>-<x>/  entries that failed their hashes, until the next gc
    ROOT/logs/                  what a crashed child printed last

Typical use:

    entry = store.get(digest)
    if entry is None:
        with store.lock(digest):
            entry = store.get(digest) or store.put(digest, files, record)
"""

from edgepack.store.cache import Store, default_root
from edgepack.store.entry import Entry, key
from edgepack.store.upkeep import GcReport, VerifyReport

__all__ = ["Entry", "GcReport", "Store", "VerifyReport", "default_root", "key"]
