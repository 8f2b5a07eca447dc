"""Entries: written at once, found again, re-hashed, shared."""

from __future__ import annotations

import doctest
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.store import Entry, Store, default_root, key
from edgepack.store import cache as cache_module
from edgepack.store import entry as entry_module

DIGEST = key(step="prune", seed=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def _put(store: Store, digest: str = DIGEST, content: bytes = b"weights") -> Entry:
    source = store.scratch / "made.h5"
    source.write_bytes(content)
    return store.put(digest, {"model.h5": source}, {"sparsity": 0.5})


def test_a_miss_and_then_a_hit(store: Store) -> None:
    assert store.get(DIGEST) is None
    put = _put(store)
    got = store.get(DIGEST)
    assert got == put
    assert got is not None
    assert got.record == {"sparsity": 0.5}
    assert got.files["model.h5"].read_bytes() == b"weights"
    assert got.directory == got.files["model.h5"].parent


def test_every_part_of_a_key_matters() -> None:
    parts = {"step": "prune", "seed": 1, "settings": {"sparsity": 0.5, "layers": ["a", "b"]}}
    keys = {
        key(**parts),
        key(**{**parts, "step": "cluster"}),
        key(**{**parts, "seed": 2}),
        key(**{**parts, "settings": {"sparsity": 0.6, "layers": ["a", "b"]}}),
        key(**{**parts, "settings": {"sparsity": 0.5, "layers": ["b", "a"]}}),
        key(**{**parts, "new": None}),
    }
    assert len(keys) == 6
    with pytest.raises(errors.BadInputError, match="canonical JSON"):
        key(sparsity=float("nan"))


def _flip(entry: Entry) -> None:
    path = entry.files["model.h5"]
    path.write_bytes(b"weightz")


def _truncate(entry: Entry) -> None:
    os.truncate(entry.files["model.h5"], 3)


def _empty_head(entry: Entry) -> None:
    os.truncate(entry.directory / "entry.json", 0)


def _changed_record(entry: Entry) -> None:
    head = entry.directory / "entry.json"
    head.write_bytes(head.read_bytes().replace(b"0.5", b"0.9"))


def _other_key(entry: Entry) -> None:
    body = json.dumps({"format": "edgepack.entry/1", "key": "0" * 64, "files": {}, "record": 1}).encode()
    (entry.directory / "entry.json").write_bytes(body + b"\n" + hashlib.sha256(body).hexdigest().encode())


def _added(entry: Entry) -> None:
    (entry.directory / "more").write_bytes(b"")


def _without_head(entry: Entry) -> None:
    (entry.directory / "entry.json").unlink()


def _without_file(entry: Entry) -> None:
    entry.files["model.h5"].unlink()


def _emptied(entry: Entry) -> None:
    for path in entry.directory.iterdir():
        path.unlink()


def _text(entry: Entry) -> None:
    (entry.directory / "entry.json").write_bytes(b"\xff\n\xff")


DAMAGES = [
    _flip,
    _truncate,
    _empty_head,
    _changed_record,
    _other_key,
    _added,
    _without_head,
    _without_file,
    _emptied,
    _text,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_a_miss_and_can_be_built_again(
    store: Store, damage: Callable[[Entry], None]
) -> None:
    damage(_put(store))
    assert store.get(DIGEST) is None
    assert len(list((store.root / "quarantine").iterdir())) == 1
    assert _put(store).files["model.h5"].read_bytes() == b"weights"


@pytest.mark.parametrize("damage", DAMAGES)
def test_verify_finds_the_damage(store: Store, damage: Callable[[Entry], None]) -> None:
    other = key(step="other")
    _put(store, other, b"123")
    damage(_put(store))
    report = store.verify()
    assert (report.sound, report.bytes, report.corrupt) == (1, 3, (DIGEST,))
    assert store.verify().corrupt == ()


def test_putting_over_a_damaged_entry(store: Store) -> None:
    _flip(_put(store))
    assert _put(store).files["model.h5"].read_bytes() == b"weights"


def test_the_faster_builder_wins(store: Store) -> None:
    first = _put(store, content=b"one")
    assert _put(store, content=b"two") == first
    assert first.files["model.h5"].read_bytes() == b"one"


def test_foreign_files_are_copied_and_scratch_files_moved(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.h5"
    mine.write_bytes(b"mine")
    copied = store.put(key(of="user"), {"a": mine}, None)
    mine.write_bytes(b"edited in place")
    assert copied.files["a"].read_bytes() == b"mine"
    assert copied.files["a"].stat().st_nlink == 1
    assert store.get(key(of="user")) is not None
    own = store.scratch / "own"
    own.write_bytes(b"own")
    number = own.stat().st_ino
    moved = store.put(key(of="us"), {"a": own}, None)
    assert moved.files["a"].stat().st_ino == number
    assert not own.exists()


@pytest.mark.parametrize("name", ["", "entry.json", "../out", "a/b", ".."])
def test_names_that_would_escape(store: Store, name: str) -> None:
    source = store.scratch / "x"
    source.write_bytes(b"")
    with pytest.raises(errors.StorageError, match="cannot be the name"):
        store.put(DIGEST, {name: source}, None)
    assert store.get(DIGEST) is None


def test_a_full_disk_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(bytes(1000))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(errors.StorageError, match=r"No space left on device; 1,000 bytes are needed"):
        store.put(DIGEST, {"big": source}, None)
    assert list(store.scratch.iterdir()) == []
    assert store.get(DIGEST) is None


def test_what_reads_back_differently_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Entry:
        raise entry_module.CorruptError("bad disk")

    monkeypatch.setattr(cache_module, "read_entry", broken)
    with pytest.raises(errors.StorageError, match="reads back differently"):
        _put(store)


def test_a_root_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.StorageError, match="Not a directory"):
        Store(tmp_path / "file" / "cache")


def test_examples() -> None:
    result = doctest.testmod(entry_module)
    assert result.attempted > 0 and result.failed == 0


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
    monkeypatch.delenv("EDGEPACK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "edgepack"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "edgepack"


def test_errors_of_the_builder_pass_through_the_lock(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.lock(DIGEST):
        (store.scratch / "absent").read_bytes()
    with store.lock(DIGEST):
        pass


def test_logs_are_kept_but_not_for_ever(store: Store) -> None:
    for number in range(cache_module.KEPT_LOGS + 3):
        log = store.scratch / "tensorflow.log"
        log.write_text(str(number))
        kept = store.keep_log(log)
    assert kept.read_text() == str(cache_module.KEPT_LOGS + 2)
    assert len(list((store.root / "logs").iterdir())) == cache_module.KEPT_LOGS
