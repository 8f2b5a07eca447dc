"""A store's read-through tier: found there, copied here, every byte hashed; wherever fsspec reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import errors
from edgepack.store import Store, key

fsspec = pytest.importorskip("fsspec")

DIGEST = key(step="prune", number=1)


def filled(root: Path) -> Path:
    """A store with one entry of two files."""
    with Store(root) as store:
        for name in ("a.bin", "b.bin"):
            (store.scratch / name).write_bytes(name.encode() * 1000)
        store.put(DIGEST, {name: store.scratch / name for name in ("a.bin", "b.bin")}, {"x": 1})
    return root


def in_memory(root: Path) -> str:
    """The same store under a memory:// URL of its own."""
    files, url = fsspec.filesystem("memory"), f"memory://{root.name}-{root.parent.name}"
    for path in sorted((root / "entries").rglob("*")):
        if path.is_file():
            files.pipe_file(f"{url}/{path.relative_to(root)}", path.read_bytes())
    return url


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_what_only_the_tier_has_is_found_and_kept(kind: str, tmp_path: Path) -> None:
    team = filled(tmp_path / "team")
    url = f"file://{team}" if kind == "file" else in_memory(team)
    with Store(tmp_path / "own", url) as store:
        entry = store.get(DIGEST)
        assert entry is not None and entry.record == {"x": 1}
        assert entry.files["b.bin"].read_bytes() == b"b.bin" * 1000
        assert entry.directory.is_relative_to(tmp_path / "own")
        assert store.get(key(step="prune", number=2)) is None
    with Store(tmp_path / "own") as store:  # without the tier: it is here now
        assert store.get(DIGEST) is not None


def test_the_tier_is_never_written_nor_locked(tmp_path: Path) -> None:
    team = filled(tmp_path / "team")
    before = sorted(path for path in team.rglob("*"))
    for folder in [team, *team.rglob("*")]:
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    with Store(tmp_path / "own", f"file://{team}") as store:
        assert store.get(DIGEST) is not None
        (store.scratch / "c").write_text("c")
        store.put(key(step="other"), {"c": store.scratch / "c"}, None)
    assert sorted(path for path in team.rglob("*")) == before


@pytest.mark.parametrize("name", ["a.bin", "entry.json"])
def test_a_damaged_entry_of_the_tier_counts_as_none(name: str, tmp_path: Path) -> None:
    team = filled(tmp_path / "team")
    damaged = next(team.rglob(name))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with Store(tmp_path / "own", f"file://{team}") as store:
        assert store.get(DIGEST) is None
        assert not list(store.scratch.iterdir())


def test_names_that_lead_out_of_the_entry_are_refused(tmp_path: Path) -> None:
    team = filled(tmp_path / "team")
    head = next(team.rglob("entry.json"))
    head.write_bytes(head.read_bytes().replace(b"a.bin", b"../ab"))
    with Store(tmp_path / "own", f"file://{team}") as store:
        assert store.get(DIGEST) is None
    assert not list((tmp_path / "own").rglob("ab"))


def test_the_environment_names_the_tier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPACK_STORE_READ", f"file://{filled(tmp_path / 'team')}")
    with Store(tmp_path / "own") as store:
        assert store.get(DIGEST) is not None


@pytest.mark.parametrize("url", ["nosuchprotocol://x/y", "s3nope://bucket"])
def test_a_url_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match="EDGEPACK_STORE_READ"):
        Store(tmp_path / "own", url)
