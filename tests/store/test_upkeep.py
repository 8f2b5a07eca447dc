"""Garbage collection keeps what is new, what is used, and what a running build may need."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgepack.store import Store, key
from edgepack.store.layout import place

DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def _put(store: Store, name: str, size: int, age_s: float) -> str:
    source = store.scratch / name
    source.write_bytes(bytes(size))
    digest = key(name=name)
    store.put(digest, {"data": source}, None)
    used = time.time() - age_s
    os.utime(place(store.root, digest), (used, used))
    return digest


def _left(store: Store) -> set[str]:
    return {path.name for path in (store.root / "entries").glob("*/*")}


def test_by_age(store: Store) -> None:
    old, new = _put(store, "old", 100, 3 * DAY_S), _put(store, "new", 50, DAY_S)
    report = store.gc(max_age_s=2 * DAY_S)
    assert _left(store) == {new}
    assert (report.removed, report.kept, report.in_use) == (1, 1, 0)
    assert report.removed_bytes > 100 > 0
    assert store.get(old) is None


def test_by_size_the_longest_unused_goes_first(store: Store) -> None:
    digests = [_put(store, str(age), 10_000, age * DAY_S) for age in (1, 2, 3, 4)]
    assert store.get(digests[3]) is not None  # a use makes it the newest
    store.gc(max_bytes=25_000)
    assert _left(store) == {digests[0], digests[3]}


def test_nothing_asked_nothing_removed_but_the_quarantine(store: Store) -> None:
    digest = _put(store, "a", 10, 9 * DAY_S)
    (place(store.root, digest) / "data").write_bytes(b"damaged")
    assert store.get(digest) is None
    kept = _put(store, "b", 10, 9 * DAY_S)
    report = store.gc()
    assert (report.removed, report.kept) == (1, 1)
    assert list((store.root / "quarantine").iterdir()) == []
    assert _left(store) == {kept}


def test_entries_that_a_running_build_used_stay(store: Store) -> None:
    used, unused = _put(store, "used", 10, 9 * DAY_S), _put(store, "unused", 10, 9 * DAY_S)
    with Store(store.root) as build:
        assert build.get(used) is not None
        report = store.gc(max_bytes=0)
        assert (report.removed, report.in_use) == (1, 1)
        assert _left(store) == {used}
    assert store.get(unused) is None
    assert store.gc(max_bytes=0).removed == 1


def test_idle_locks_go(store: Store) -> None:
    for name in ("idle", "held"):
        with store.lock(key(name=name)):
            pass
        lock = store.root / "locks" / f"{key(name=name)}.lock"
        os.utime(lock, (1.0, 1.0))
    held = key(name="held")
    with store.lock(held):
        os.utime(store.root / "locks" / f"{held}.lock", (1.0, 1.0))
        store.gc()
        assert [path.stem for path in (store.root / "locks").iterdir()] == [held]
