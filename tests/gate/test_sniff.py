"""Every other file that people hand in gets the name of its format and the way from there to Keras."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from edgepack import errors, gate

PICKLE = b"\x80\x02}q\x00."


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.keras", b"", "empty"),
        ("m.h5", b"\0" * 3000, "only zero bytes"),
        ("m.onnx", b"\x08\x07\x12\x07pytorch", "onnx2tf"),
        ("m.bin", b"\x08\x07\x12\x07pytorch\x1a", "ONNX"),
        ("m.pt", PICKLE, "torch.onnx.export"),
        ("m.pth", PICKLE, "torch.onnx.export"),
        ("m.pkl", PICKLE, "pickle"),
        ("frozen.pb", b"\x0a\x10\x0a\x01x", "frozen"),
        ("m.tflite", b"\x1c\0\0\0TFL3" + b"\0" * 20, "edgepack bench"),
        ("m.keras", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        ("m.h5", b"\x1f\x8b\x08\0", "gzip"),
        ("m.h5", b"<!DOCTYPE html><html>404", "web page"),
        ("m.keras", b"hello, this is no model\n", "a text file"),
        (
            "m.json",
            json.dumps({"class_name": "Sequential", "config": {}}).encode(),
            "architecture without weights",
        ),
        ("m.json", b'{"some": "thing"}', "a JSON file"),
        ("m.json", b'{"some', "starts like JSON"),
        ("m.safetensors", b"\x10\0\0\0\0\0\0\0{}", "weights without a model"),
        ("m.h5", bytes(range(256)), "no format that edgepack knows"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "truncated HDF5"),
        ("m.keras", b"PK\x03\x04" + b"\0" * 40, "truncated .keras"),
    ],
)
def test_refusal_says_what_it_is(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(errors.ModelError) as refusal:
        gate.read(path)
    assert words in str(refusal.value) and str(path) in str(refusal.value)
    assert refusal.value.exit_code == 65


@pytest.mark.parametrize(
    ("name", "member", "words"),
    [
        ("m.zip", "archive/data.pkl", "PyTorch"),
        ("m.npz", "x.npy", "arrays, not a model"),
        ("m.keras", "readme.txt", "has no config.json"),
        ("m-1.0.edgepack", "model.tflite", "a package that edgepack made"),
    ],
)
def test_foreign_archives(tmp_path: Path, name: str, member: str, words: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"x")
    (tmp_path / name).write_bytes(buffer.getvalue())
    with pytest.raises(errors.ModelError, match=words):
        gate.read(tmp_path / name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelError, match="no such file"):
        gate.read(tmp_path / "absent.keras")


def test_saved_model_needs_trust(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert gate.is_saved_model(tmp_path)
    with pytest.raises(errors.TrustError, match="--trust-input"):
        gate.read(tmp_path)


def test_folder_that_is_no_model(tmp_path: Path) -> None:
    assert not gate.is_saved_model(tmp_path)
    with pytest.raises(errors.ModelError, match="a folder without"):
        gate.read(tmp_path)
