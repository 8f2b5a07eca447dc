"""What an attacker on the way, or one who holds a key, can and cannot do (TUF specification 1.5.2, "attacks")."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.channel import Channel, create
from tests.agent.conftest import World


def metadata(world: World) -> Path:
    return world.folder / "channel" / "metadata"


def check_refused(world: World, says: str) -> None:
    """The update is not trusted, and the device keeps its model."""
    before = world.model()
    with pytest.raises(errors.TrustError, match=says) as caught:
        world.update()
    assert caught.value.exit_code == 77
    assert world.model() == before


@pytest.fixture
def updated(world: World) -> World:
    world.update()
    return world


def test_rollback(updated: World) -> None:
    shutil.copytree(updated.folder / "channel", updated.folder / "old")
    updated.publish("1.1.0")
    assert updated.update().status == "updated"
    shutil.rmtree(updated.folder / "channel")
    (updated.folder / "old").rename(updated.folder / "channel")
    check_refused(updated, "rollback")


def test_freeze(updated: World) -> None:
    updated.channel(days_ago=30).refresh()
    check_refused(updated, "expired")


def test_mix_and_match(updated: World) -> None:
    """The newest timestamp over the snapshot of another release."""
    old = {path.name: path.read_bytes() for path in metadata(updated).glob("*.snapshot.json")}
    updated.publish("1.1.0")
    newest = max(metadata(updated).glob("*.snapshot.json"), key=lambda path: int(path.name.split(".")[0]))
    newest.write_bytes(old[max(old, key=lambda name: int(name.split(".")[0]))])
    check_refused(updated, "rollback or mixing|cannot be trusted")


def test_a_tampered_package(updated: World) -> None:
    updated.publish("1.1.0")
    for path in (updated.folder / "channel/targets").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    check_refused(updated, "not the one that was signed")


def test_a_package_of_another_length(updated: World) -> None:
    updated.publish("1.1.0")
    for path in (updated.folder / "channel/targets").iterdir():
        path.write_bytes(path.read_bytes() * 2)
    check_refused(updated, "another length|not the one that was signed")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_metadata_changed_without_its_key(updated: World, role: str) -> None:
    updated.publish("1.1.0")
    name = "timestamp.json" if role == "timestamp" else f"{2 + 1}.{role}.json"
    path = metadata(updated) / name
    told = json.loads(path.read_bytes())
    told["signed"]["expires"] = "2199-01-01T00:00:00Z"
    path.write_text(json.dumps(told))
    check_refused(
        updated, "too few trusted keys|cannot be trusted|not the one that was signed|another length"
    )


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_revoked_key_signs_nothing_more(updated: World, role: str) -> None:
    shutil.copytree(updated.folder / "keys", updated.folder / "stolen")
    updated.channel().rotate(role)
    assert updated.update().status == "current"  # the device has learned of the rotation
    stolen = updated.channel(keys="stolen")
    with pytest.raises(errors.BadInputError, match=r"no key that may sign|too few"):
        stolen.refresh() if role != "targets" else updated.publish("6.6.6", keys="stolen")  # type: ignore[arg-type]


def test_a_thief_with_an_old_key_signs_by_hand(updated: World) -> None:
    """Past our own tools: metadata signed by the revoked key."""
    from tuf.api.metadata import Metadata

    shutil.copytree(updated.folder / "keys", updated.folder / "stolen")
    updated.channel().rotate("timestamp")
    updated.update()
    before = Metadata.from_file(str(metadata(updated) / "1.root.json")).signed
    path = metadata(updated) / "timestamp.json"
    forged = Metadata.from_file(str(path))
    forged.signed.version += 1
    from edgepack.channel import keys

    wanted = {identity: before.keys[identity] for identity in before.roles["timestamp"].keyids}
    (signer,) = keys.signers(updated.folder / "stolen", "timestamp", wanted)
    forged.signatures.clear()
    forged.sign(signer)
    forged.to_file(str(path))
    check_refused(updated, "too few trusted keys")


def test_a_thief_with_a_revoked_targets_key_and_the_keys_that_are_online(updated: World) -> None:
    """Whoever breaks into the server has the keys of snapshot and timestamp, but none that names packages any more."""
    from tuf.api.metadata import MetaFile

    from edgepack.channel import keys

    shutil.copytree(updated.folder / "keys", updated.folder / "stolen")
    before = updated.channel()._read("root").signed
    updated.channel().rotate("targets")
    assert updated.update().status == "current"
    channel = updated.channel()
    root = channel._read("root").signed
    signed = {role: channel._read(role) for role in ("targets", "snapshot", "timestamp")}
    for role, metadata in signed.items():
        metadata.signed.version += 1
        metadata.signatures.clear()
        known = before if role == "targets" else root
        wanted = {identity: known.keys[identity] for identity in known.roles[role].keyids}
        (signer,) = keys.signers(updated.folder / "stolen", role, wanted)
        if role == "snapshot":
            metadata.signed.meta["targets.json"] = MetaFile(version=signed["targets"].signed.version)
        if role == "timestamp":
            metadata.signed.snapshot_meta = MetaFile(version=signed["snapshot"].signed.version)
        metadata.sign(signer)
        channel._write(
            "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json", metadata
        )
    check_refused(updated, "too few trusted keys")


@pytest.mark.parametrize(
    "facts",
    [
        {"counter": "many"},
        {"counter": None},
        {"version": None, "counter": [3]},
        {"kind": "package", "lineage": "tiny"},
    ],
)
def test_packages_that_are_described_otherwise(updated: World, facts: dict[str, object]) -> None:
    """Signed all the same: by a publisher with other tools."""
    channel = updated.channel()
    with channel.locked():
        targets = channel._read("targets")
        for file in targets.signed.targets.values():
            old = file.unrecognized_fields["custom"]
            file.unrecognized_fields["custom"] = facts if "kind" in facts else {**old, **facts}
        channel._advance(targets)
    check_refused(updated, "describes its packages otherwise")


def test_a_root_below_its_threshold(updated: World) -> None:
    """One of the two root keys that are needed is not enough, by our tools or by hand."""
    for path in sorted((updated.folder / "keys").glob("root-*.pem"))[1:]:
        path.unlink()
    with pytest.raises(errors.BadInputError, match="too few"):
        updated.channel().rotate("timestamp")
    from tuf.api.metadata import Metadata

    from edgepack.channel import keys

    root = Metadata.from_file(str(metadata(updated) / "1.root.json"))
    wanted = {identity: root.signed.keys[identity] for identity in root.signed.roles["root"].keyids}
    (signer,) = keys.signers(updated.folder / "keys", "root", wanted)
    root.signed.version = 2
    root.signatures.clear()
    root.sign(signer)
    root.to_file(str(metadata(updated) / "2.root.json"))
    check_refused(updated, "too few trusted keys")


def test_root_rotation_over_three_versions(updated: World) -> None:
    for _ in range(3):
        updated.channel().rotate("root")
    updated.publish("1.1.0")
    assert updated.update().status == "updated"
    assert updated.model() == updated.model_of("1.1.0")


def test_a_channel_of_someone_else(updated: World) -> None:
    shutil.rmtree(updated.folder / "channel")
    create(updated.folder / "channel", updated.folder / "other-keys", family="test", now=updated.now)
    for _ in range(5):
        Channel(updated.folder / "channel", updated.folder / "other-keys", now=updated.now).refresh()
    check_refused(updated, "too few trusted keys")


def test_a_package_of_another_lineage_is_not_offered(
    updated: World, subject_of_other: Callable[[], None]
) -> None:
    subject_of_other()
    assert updated.update().status == "current"


@pytest.fixture
def subject_of_other(world: World, tmp_path: Path) -> Callable[[], None]:
    def publish() -> None:
        from edgepack import bundle

        mine = bundle.read(world.make_package("1.0.0"))
        (tmp_path / "m.tflite").write_bytes(mine.model)
        other = tmp_path / "other.edgepack"
        manifest = {"name": "other", "version": "9.0.0", "labels": []}
        bundle.pack(
            other,
            model=tmp_path / "m.tflite",
            manifest=manifest,
            golden=mine.golden,
            recipe_text="edgepack = 1\n",
        )
        world.channel().add(bundle.admit(other, allow_unsigned=True))

    return publish


def test_a_channel_that_cannot_be_reached(updated: World) -> None:
    (updated.folder / "channel").rename(updated.folder / "away")
    with pytest.raises(errors.DeviceError, match="cannot be reached"):
        updated.update()
    assert updated.model() == updated.model_of("1.0.0")


def test_a_delta_that_does_not_fit_is_replaced_by_the_whole(
    updated: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    updated.publish("1.1.0")

    def broken(*arguments: object) -> bytes:
        raise errors.PackageError("it does not fit")

    monkeypatch.setattr("edgepack.agent.updating.apply_delta", broken)
    outcome = updated.update()
    assert (outcome.status, outcome.way) == ("updated", "full")
    assert "no delta" in outcome.reason


def test_clocks_far_ahead_are_told(updated: World, monkeypatch: pytest.MonkeyPatch) -> None:
    updated.now += timedelta(days=-400)
    updated.channel().refresh()
    check_refused(updated, "is this device's clock right")
