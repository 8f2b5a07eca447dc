"""Files made to hurt: each is refused with its reason, quickly, and nothing they name is run, opened or unpacked."""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from edgepack import errors, gate


def test_lambda_is_refused_by_name(write_keras: Any, entries: SimpleNamespace) -> None:
    code = {"class_name": "__lambda__", "config": {"value": ["4wEAAA==", None, None]}}
    config = entries.sequential(entries.input(), entries.layer("Lambda", "sneaky", function=code))
    with pytest.raises(errors.ModelError, match=r"model\.keras: layer 'sneaky' \(Lambda\)"):
        gate.read(write_keras(config, {}))


def test_lambda_deep_inside_is_refused(write_h5: Any, entries: SimpleNamespace) -> None:
    inner = entries.sequential(
        entries.input(), entries.layer("Lambda", "sneaky", function=["code", None, None]), name="in"
    )
    with pytest.raises(errors.ModelError, match="in_sneaky"):
        gate.read(write_h5(entries.sequential(entries.input(), inner), {}))


@pytest.mark.parametrize("module", ["os", "subprocess", "mymodule.layers", "keras_evil"])
def test_foreign_module_is_neither_imported_nor_accepted(
    write_keras: Any, entries: SimpleNamespace, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mymodule").mkdir()
    (tmp_path / "mymodule" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    config = entries.sequential(entries.input(), entries.layer("Dense", "sneaky", module=module, units=2))
    with pytest.raises(errors.ModelError, match="'sneaky'"):
        gate.read(write_keras(config, {}))
    assert "mymodule" not in sys.modules


def test_custom_class_in_the_clothes_of_a_keras_layer(write_keras: Any, entries: SimpleNamespace) -> None:
    disguised = {**entries.dense("sneaky"), "registered_name": "evil>Dense"}
    with pytest.raises(errors.ModelError, match="evil"):
        gate.read(write_keras(entries.sequential(entries.input(), disguised), {}))


def test_python_object_as_call_argument(write_keras: Any, entries: SimpleNamespace) -> None:
    source = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    call = {"args": [source], "kwargs": {"function": {"class_name": "__lambda__", "config": {"value": "…"}}}}
    config = functional([{**entries.input(), "name": "x", "inbound_nodes": []},
                         {**entries.dense("sneaky"), "name": "sneaky", "inbound_nodes": [call]}], "sneaky")  # fmt: skip
    with pytest.raises(errors.ModelError, match="lambda"):
        gate.read(write_keras(config, {}))


def test_subclassed_model(write_keras: Any) -> None:
    config = {
        "module": None,
        "class_name": "MyNet",
        "config": {"trainable": True},
        "registered_name": "MyNet",
    }
    with pytest.raises(errors.ModelError, match=r"'MyNet', a subclassed model.*Sequential"):
        gate.read(write_keras(config, {}))


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (50 << 20))
    with pytest.raises(errors.ModelError, match="zip bomb"):
        gate.read(path)


def test_zip_that_lies_about_its_sizes(tmp_path: Path) -> None:
    path = tmp_path / "liar.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (8 << 20))
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, 100)  # uncompressed size, as the directory has it
    path.write_bytes(data)
    with pytest.raises(errors.ModelError):
        gate.read(path)


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "..\\x", "C:\\x", "a/../../b"])
def test_member_outside_the_archive(write_keras: Any, name: str) -> None:
    with pytest.raises(errors.ModelError, match="outside the archive"):
        gate.read(write_keras(extra={name: b"x"}))


def test_member_twice(tmp_path: Path, write_keras: Any) -> None:
    path = write_keras()
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    with pytest.raises(errors.ModelError, match="appears twice"):
        gate.read(path)


def test_symbolic_link_member(write_keras: Any) -> None:
    path = write_keras()
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("assets")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(errors.ModelError, match="symbolic link"):
        gate.read(path)


def test_many_members(write_keras: Any) -> None:
    with pytest.raises(errors.ModelError, match="members"):
        gate.read(write_keras(extra={f"assets/{number}": b"" for number in range(4200)}))


TIGHT = {"compression": "gzip", "compression_opts": 9}


def hidden_in(group: str, edit: Any) -> Any:
    """Does something to one group of an .h5 file."""
    return lambda file: edit(file[group])


@pytest.mark.parametrize(
    ("what", "edit"),
    [
        ("an external link", lambda group: group.__setitem__("kernel", h5py.ExternalLink("/etc/hosts", "/x"))),
        ("a soft link", lambda group: group.__setitem__("kernel", h5py.SoftLink("/model_weights"))),
        ("external storage", lambda group: group.create_dataset("k", (4,), "f4", external=[("/etc/passwd", 0, 16)])),
        ("declares", lambda group: group.create_dataset("k", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))),
        ("virtual dataset", lambda group: group.create_virtual_dataset("k", virtual_layout())),
        ("compression bomb", lambda group: group.create_dataset("k", data=np.zeros(4 << 20), **TIGHT)),
        ("a named type", lambda group: group.__setitem__("k", np.dtype("f8"))),
    ],
)  # fmt: skip
def test_hdf5_traps(write_h5: Any, entries: SimpleNamespace, what: str, edit: Any) -> None:
    path = write_h5(entries.small, {"hidden": {}}, edit=hidden_in("model_weights/hidden", edit))
    with pytest.raises(errors.ModelError, match=what):
        gate.read(path)


def virtual_layout() -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hosts", "x", (4,))
    return layout


def test_foreign_filter(write_h5: Any, entries: SimpleNamespace) -> None:
    def filtered(group: h5py.Group) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((4,))
        properties.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(group.id, b"k", h5py.h5t.IEEE_F32LE, space, properties)

    path = write_h5(entries.small, {"hidden": {}}, edit=hidden_in("model_weights/hidden", filtered))
    with pytest.raises(errors.ModelError, match="32999"):
        gate.read(path)


def test_groups_linked_into_each_other(write_h5: Any, entries: SimpleNamespace) -> None:
    def knot(file: h5py.File) -> None:
        for name in "abcd":
            file["model_weights"][name] = file["/"]

    with pytest.raises(errors.ModelError, match="deeper groups"):
        gate.read(write_h5(entries.small, {}, edit=knot))


def test_deep_json(write_keras: Any) -> None:
    with pytest.raises(errors.ModelError, match="nested too deeply"):
        gate.read(write_keras("[" * 200_000 + "]" * 200_000, {}))


def test_deeply_nested_models(write_keras: Any, entries: SimpleNamespace) -> None:
    config = entries.small
    for number in range(30):
        config = entries.sequential(entries.input(), config, name=f"level{number}")
    with pytest.raises(errors.ModelError, match="nested more than"):
        gate.read(write_keras(config, {}))


def test_nested_model_called_twice_at_every_level_is_no_bomb(
    write_keras: Any, entries: SimpleNamespace
) -> None:
    config = entries.sequential(entries.input(), entries.layer("Activation", "act", activation="relu"))
    for number in range(20):  # 2 ** 20 calls when written out
        config = {**config, "name": "twice", "config": {**config["config"], "name": "twice"}}
        config = functional(
            [
                {**entries.input(), "name": "x", "inbound_nodes": []},
                {**config, "inbound_nodes": [call_of("x", 0), call_of("twice", 0)]},
            ],
            "twice",
            node=1 if number == 0 else 2,
        )
    with pytest.raises(errors.ModelError, match="layer calls"):
        gate.read(write_keras(config, {}))


def test_loop_between_layers(write_keras: Any, entries: SimpleNamespace) -> None:
    config = functional(
        [
            {**entries.input(), "name": "x", "inbound_nodes": []},
            {**entries.dense("a"), "name": "a", "inbound_nodes": [call_of("b", 0)]},
            {**entries.dense("b"), "name": "b", "inbound_nodes": [call_of("a", 0)]},
        ],
        "b",
    )
    with pytest.raises(errors.ModelError, match="loop"):
        gate.read(write_keras(config, {}))


def test_truncations(write_h5: Any, entries: SimpleNamespace, tmp_path: Path) -> None:
    whole = write_h5(entries.small, {"hidden": {"kernel:0": np.zeros((4, 3), "f4")}}).read_bytes()
    short = tmp_path / "short.h5"
    for size in (1, 8, 100, len(whole) // 2, len(whole) - 1):
        short.write_bytes(whole[:size])
        with pytest.raises(errors.ModelError):
            gate.read(short)


def test_config_of_the_wrong_shapes(write_keras: Any, entries: SimpleNamespace) -> None:
    for config in ([], 3, "text", {"class_name": "Sequential"}, {"class_name": "Sequential", "config": {"layers": [1]}},
                   {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": None}]}},
                   {"class_name": "Functional", "config": {"layers": [entries.input()], "output_layers": 7}}):  # fmt: skip
        with pytest.raises(errors.ModelError):
            gate.read(write_keras(json.dumps(config), {}))


def call_of(layer: str, node: int) -> dict[str, Any]:
    source = {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "keras_history": [layer, node, 0]},
    }
    return {"args": [source], "kwargs": {}}


def functional(layers: list[dict[str, Any]], output: str, node: int = 0) -> dict[str, Any]:
    return {
        "class_name": "Functional",
        "module": "keras",
        "config": {
            "name": "model",
            "layers": layers,
            "input_layers": [["x", 0, 0]],
            "output_layers": [[output, node, 0]],
        },
    }
