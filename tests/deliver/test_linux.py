"""Packages that dpkg, tar and OCI readers take; the current version changes in one step."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgepack.deliver import deliver
from edgepack.deliver import linux as receiver
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject

NEEDS_DPKG = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg here")
DEB = "edgepack-model-tiny-model_1.2.3_all.deb"


def later(subject: Subject, version: str) -> Subject:
    manifest: Mapping[str, Any] = {**subject.manifest, "version": version}
    return replace(subject, package=replace(subject.package, manifest=manifest))


@NEEDS_DPKG
def test_dpkg_installs_upgrades_and_removes(subject: Subject, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    deliver(subject, "linux", Options(), tmp_path / "old")
    deliver(later(subject, "1.3.0-rc.1"), "linux", Options(), tmp_path / "new")

    def dpkg(*words: str) -> None:
        flags = [
            "--force-not-root",
            "--force-script-chrootless",
            "--force-depends",
            f"--log={tmp_path / 'log'}",
        ]
        answer = subprocess.run(
            ["dpkg", f"--root={root}", *flags, *words], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr

    current = root / "usr/share/edgepack/tiny-model/current"
    dpkg("-i", str(tmp_path / "old" / DEB))
    assert current.readlink() == Path("1.2.3")
    assert (current / "model.tflite").read_bytes() == subject.model
    dpkg("-i", str(tmp_path / "new" / "edgepack-model-tiny-model_1.3.0~rc.1_all.deb"))
    assert current.readlink() == Path("1.3.0-rc.1")
    assert (current / "model.tflite").read_bytes() == subject.model
    dpkg("-r", "edgepack-model-tiny-model")
    assert not current.is_symlink()
    assert not (root / "usr/share/edgepack/tiny-model/1.3.0-rc.1").exists()


@NEEDS_DPKG
def test_the_deb_is_well_formed(subject: Subject, tmp_path: Path) -> None:
    deliver(subject, "linux", Options(), tmp_path / "out")
    words = ["dpkg-deb", "--field", str(tmp_path / "out" / DEB), "Package", "Version", "Architecture"]
    fields = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert fields == "Package: edgepack-model-tiny-model\nVersion: 1.2.3\nArchitecture: all\n"


def test_without_dpkg_the_script_does_it(subject: Subject, tmp_path: Path) -> None:
    for number, version in enumerate(("1.2.3", "1.3.0")):
        deliver(later(subject, version), "linux", Options(), tmp_path / version)
        subprocess.run([str(tmp_path / version / "install.sh"), str(tmp_path / "root")], check=True)
        folder = tmp_path / "root/usr/share/edgepack/tiny-model"
        assert (folder / "current").readlink() == Path(version)
        assert len(list(folder.glob("1.*"))) == number + 1
    subprocess.run(
        [str(tmp_path / "1.3.0/edgepack-switch"), "tiny-model", "1.2.3", str(tmp_path / "root")], check=True
    )
    assert (folder / "current").readlink() == Path("1.2.3")


def test_a_damaged_version_never_becomes_current(subject: Subject, tmp_path: Path) -> None:
    deliver(subject, "linux", Options(), tmp_path / "out")
    subprocess.run([str(tmp_path / "out/install.sh"), str(tmp_path / "root")], check=True)
    folder = tmp_path / "root/usr/share/edgepack/tiny-model"
    shutil.copytree(folder / "1.2.3", folder / "2.0.0")
    (folder / "2.0.0/model.tflite").write_bytes(b"damaged")
    switch = [str(tmp_path / "out/edgepack-switch"), "tiny-model", "2.0.0", str(tmp_path / "root")]
    answer = subprocess.run(switch, capture_output=True, text=True, check=False)
    assert answer.returncode == 65
    assert "damaged" in answer.stderr
    assert (folder / "current").readlink() == Path("1.2.3")


def test_tar_has_clean_names_and_no_times(subject: Subject) -> None:
    data = receiver.tree(subject, Options())["tiny-model-1.2.3.tar.gz"]
    assert isinstance(data, bytes)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = archive.getmembers()
        assert all(entry.name.startswith("usr/share/edgepack") or entry.isdir() for entry in entries)
        assert all(
            entry.mtime == 0 and entry.uid == 0 and (entry.isreg() or entry.isdir()) for entry in entries
        )
        model = archive.extractfile("usr/share/edgepack/tiny-model/1.2.3/model.tflite")
        assert model is not None
        assert model.read() == subject.model


def test_oci_layout_holds_together(subject: Subject) -> None:
    tree = {
        name: bytes(content)
        for name, content in receiver.tree(subject, Options()).items()
        if name.startswith("oci/")
    }  # type: ignore[arg-type]

    def blob(descriptor: Mapping[str, Any]) -> bytes:
        algorithm, _, digest = descriptor["digest"].partition(":")
        content = tree[f"oci/blobs/{algorithm}/{digest}"]
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(content) == descriptor["size"]
        return content

    assert json.loads(tree["oci/oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(tree["oci/index.json"])["manifests"]
    manifest = json.loads(blob(entry))
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert json.loads(blob(manifest["config"]))["descriptor"]["name"] == "tiny-model"
    by_name = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in manifest["layers"]}
    assert blob(by_name["model.tflite"]) == subject.model
    assert by_name["model.tflite"]["mediaType"] == "application/vnd.cncf.model.weight.v1.raw"
    assert {"manifest.json", "labels.txt", "SHA256SUMS"} <= set(by_name)


def test_twice_the_same_bytes(subject: Subject) -> None:
    assert receiver.tree(subject, Options()) == receiver.tree(subject, Options())
