"""Deltas between files and packages: the smallest way, exactly the promised result, nothing from damaged ones."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.bundle import archive
from edgepack.delta import BARE_METHODS, METHODS, apply_delta, make_delta, parse

OLD = random.Random(1).randbytes(30_000)
DRAW = random.Random(2)
SAME_SIZE = bytes((byte + (DRAW.random() < 0.02)) % 256 for byte in OLD)
"""As after another epoch: the same graph, some weights one step further."""
MOVED = SAME_SIZE[:5_000] + DRAW.randbytes(300) + SAME_SIZE[5_000:]
"""The same with something put in, so that all that follows lies elsewhere."""
OTHER = DRAW.randbytes(29_000)


def package(model: bytes, **manifest: str) -> bytes:
    """Archive bytes of a package shape; only the container matters here."""
    text = json.dumps(manifest).encode()
    return archive.write(
        {
            "manifest.json": text,
            "model.tflite": model,
            "golden.bin": model[:500],
            "recipe.toml": b"edgepack = 1\n",
        }
    )


@pytest.mark.parametrize(
    ("new", "expected"),
    [(SAME_SIZE, "subtract"), (MOVED, "bsdiff"), (OTHER, "full")],
)
def test_the_smallest_way_is_taken(new: bytes, expected: str) -> None:
    delta = make_delta(OLD, new)
    assert delta.parts[0].method == expected
    every = [len(make_delta(OLD, new, methods=[name, "full"]).to_bytes()) for name in METHODS]
    assert len(delta.to_bytes()) <= min(every) * 1.01 + 128
    assert apply_delta(OLD, parse(delta.to_bytes(), "d"), "d") == new


def test_packages_are_taken_member_by_member() -> None:
    old, new = package(OLD, version="1"), package(SAME_SIZE, version="1.0.1")
    delta = make_delta(old, new)
    assert [part.name for part in delta.parts] == list(archive.REQUIRED)
    assert {part.name: part.method for part in delta.parts}["model.tflite"] == "subtract"
    assert len(delta.to_bytes()) < 0.1 * len(new)
    assert apply_delta(old, parse(delta.to_bytes(), "d"), "d") == new


def test_a_member_that_comes_or_goes() -> None:
    plain = package(OLD, version="1")
    more = archive.write({**archive.read(plain, "p"), archive.OPTIONAL: OLD[:9_000]})
    for old, new in ((plain, more), (more, plain), (more, more)):
        assert apply_delta(old, parse(make_delta(old, new).to_bytes(), "d"), "d") == new


def test_twice_the_same_bytes() -> None:
    assert make_delta(OLD, MOVED).to_bytes() == make_delta(OLD, MOVED).to_bytes()


def test_another_old_file_is_refused() -> None:
    with pytest.raises(errors.PackageError, match="made from another file"):
        apply_delta(SAME_SIZE, make_delta(OLD, MOVED), "d")


def test_bare_deltas_need_the_standard_library_only(tmp_path: Path) -> None:
    new = OLD[15_000:] + OLD[:15_000]
    (tmp_path / "old").write_bytes(OLD)
    (tmp_path / "delta").write_bytes(make_delta(OLD, new, methods=BARE_METHODS).to_bytes())
    code = (
        "import sys\n"
        "for name in ('numpy', 'bsdiff4', 'zstandard', 'pydantic'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from edgepack.delta import apply_delta, parse\n"
        "delta = parse(Path('delta').read_bytes(), 'delta')\n"
        "sys.stdout.buffer.write(apply_delta(Path('old').read_bytes(), delta, 'delta'))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr.decode()
    assert answer.stdout == new


def test_a_damaged_delta_never_gives_another_file() -> None:
    draw = random.Random(4)
    data = make_delta(package(OLD), package(SAME_SIZE)).to_bytes()
    refused = 0
    for _ in range(300):
        spoilt = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        spoilt = spoilt[: draw.choice([len(spoilt), draw.randrange(len(spoilt))])]
        try:
            made = apply_delta(package(OLD), parse(bytes(spoilt), "d"), "d")
        except errors.PackageError:
            refused += 1
        else:
            assert made == package(SAME_SIZE)  # the damage hit what decoding does not look at
    assert refused > 290


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda header: header.update(format="edgepack.delta/2"), "not a delta of the format"),
        (lambda header: header["parts"][0].update(method="xdelta"), "xdelta"),
        (lambda header: header["parts"][0].update(size=-1), "-1"),
        (lambda header: header["parts"][0].update(size=1 << 40), "no number of bytes"),
        (lambda header: header["parts"][0].update(bytes=1), "parts have 1 bytes"),
        (lambda header: header["new"].update(sha256="x"), "sha256"),
        (lambda header: header.update(parts=[]), "1 to 64 parts"),
        (lambda header: header.update(more=1), "expected format"),
        (lambda header: header["parts"][0].update(name="../x"), "one part without a name"),
    ],
    ids=["format", "method", "negative", "huge", "length", "digest", "no parts", "unknown key", "name"],
)
def test_a_wrong_header_is_refused(spoil: object, says: str) -> None:
    line, _, payload = make_delta(OLD, SAME_SIZE).to_bytes().partition(b"\n")
    header = json.loads(line)
    spoil(header)  # type: ignore[operator]
    line = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(errors.PackageError, match=says):
        apply_delta(OLD, parse(line + b"\n" + payload, "d"), "d")


def test_through_the_command(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(OLD)
    (tmp_path / "new").write_bytes(MOVED)
    command = [sys.executable, "-m", "edgepack"]
    run = lambda *words: subprocess.run(  # noqa: E731
        [*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    made = run("delta", "old", "new", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["parts"][0]["method"] == "bsdiff"
    assert run("patch", "old", "new.delta", "--out", "again").returncode == 0
    assert (tmp_path / "again").read_bytes() == MOVED
    wrong = run("patch", "new", "new.delta", "--out", "wrong")
    assert wrong.returncode == 65
    assert "made from another file" in wrong.stderr
    assert not (tmp_path / "wrong").exists()
