"""A TUF repository on disk: metadata/ and targets/, to be served by any web server or copied to any medium.

Root is trusted by a threshold of offline keys; targets names the packages; snapshot and timestamp make rollback, freezing
and mixing of releases visible. `timestamp.json` is written last, so that a reader sees the old release or the new one.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.bundle import Bundle, VerifiedBundle, archive
from edgepack.channel import keys
from edgepack.delta import BARE_METHODS, make_delta
from edgepack.durable import storage_errors, write_atomically

LIFETIME_DAYS: Final[dict[str, int]] = {"root": 365, "targets": 90, "snapshot": 7, "timestamp": 1}
ROOT_KEYS, ROOT_THRESHOLD = 3, 2
DELTAS_FROM: Final = 3
"""Releases from which a delta leads to the newest; older devices fetch it whole."""
FAMILY: Final = "x-edgepack-family"


@dataclass(frozen=True, kw_only=True)
class Release:
    """One package of a channel.

    Attributes:
      target: its path among the targets.
      lineage: name and device: what later releases replace.
      counter: grows with every release of the lineage.
    """

    target: str
    lineage: str
    version: str
    counter: int
    sha256: str
    bytes: int


def create(
    folder: Path,
    key_folder: Path,
    *,
    family: str,
    now: datetime,
    root_keys: int = ROOT_KEYS,
    root_threshold: int = ROOT_THRESHOLD,
) -> Channel:
    """Makes an empty channel and its keys.

    Raises:
      BadInputError: a threshold that its keys cannot reach.
      StorageError: there is a channel or a key already.
    """
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

    if not 1 <= root_threshold <= root_keys:
        raise errors.BadInputError(
            f"--root-threshold {root_threshold}: expected 1 to {root_keys}, the number of root keys"
        )
    channel = Channel(folder, key_folder, now=now)
    if (channel.metadata / "timestamp.json").exists():
        raise errors.StorageError(f"{folder}: is a channel already")
    root = Root(
        consistent_snapshot=True, expires=channel.expiry("root"), unrecognized_fields={FAMILY: family}
    )
    for role in keys.ROLES:
        for _ in range(root_keys if role == "root" else 1):
            root.add_key(keys.generate(key_folder, role).public_key, role)
    root.roles["root"].threshold = root_threshold
    with channel.locked():
        channel.publish_root(Metadata(root))
        channel.publish(
            Metadata(Targets(expires=channel.expiry("targets"))),
            Metadata(Snapshot(expires=channel.expiry("snapshot"))),
            Metadata(Timestamp(expires=channel.expiry("timestamp"))),
        )
    return channel


class Channel:
    """A channel with the keys to change it.

    Args:
      folder: of the repository.
      key_folder: of the private keys.
      now: decides when metadata expires.
    """

    def __init__(self, folder: Path, key_folder: Path, *, now: datetime) -> None:
        self.folder, self.key_folder = folder, key_folder
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.now = now.astimezone(timezone.utc).replace(microsecond=0)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time; the kernel frees the lock of one that dies."""
        with storage_errors(self.folder):
            self.metadata.mkdir(parents=True, exist_ok=True)
            self.targets.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield

    def expiry(self, role: str) -> datetime:
        return self.now + timedelta(days=LIFETIME_DAYS[role])

    def releases(self) -> tuple[Release, ...]:
        """All packages, oldest first."""
        found = []
        for path, file in self._read("targets").signed.targets.items():
            facts = file.custom or {}
            if facts.get("kind") == "package":
                found.append(
                    Release(
                        target=path,
                        lineage=str(facts["lineage"]),
                        version=str(facts["version"]),
                        counter=int(facts["counter"]),
                        sha256=file.hashes["sha256"],
                        bytes=file.length,
                    )
                )
        return tuple(sorted(found, key=lambda release: (release.lineage, release.counter)))

    def add(self, bundle: Bundle) -> Release:
        """Publishes a package, with deltas from the releases before it.

        Raises:
          BadInputError: its version is there already, or its counter is not newer.
          PackageError: its manifest says what cannot be.
        """
        from edgepack.bundle import description

        with self.locked():
            contents = bundle.contents
            description.require_sound(contents.manifest, contents.path)
            data = archive.write(contents.members)
            before = [release for release in self.releases() if release.lineage == contents.lineage]
            release = Release(
                target=f"{_file_name(contents.lineage)}-{contents.version}.edgepack",
                lineage=contents.lineage,
                version=contents.version,
                counter=_counter(bundle, before),
                sha256=contents.sha256,
                bytes=len(data),
            )
            targets = self._read("targets")
            if release.target in targets.signed.targets:
                raise errors.BadInputError(
                    f"{release.target}: this version is in the channel already; raise the version"
                )
            facts = {
                "kind": "package",
                "lineage": release.lineage,
                "version": release.version,
                "counter": release.counter,
            }
            self._put(targets, release.target, data, facts)
            if isinstance(bundle, VerifiedBundle) and bundle.signature is not None:
                self._put(targets, f"{release.target}.sig", bundle.signature, {"kind": "signature"})
            for old in before[-DELTAS_FROM:]:
                self._put_delta(targets, old, release, data)
            self._advance(targets)
            return release

    def refresh(self) -> None:
        """Signs snapshot and timestamp anew before they expire; the packages stay."""
        with self.locked():
            self._advance(None)

    def rotate(self, role: str) -> str:
        """Gives a role a new key and revokes the one that was longest in use; returns the new key's id.

        Raises:
          BadInputError: an unknown role, or too few root keys at hand to sign.
        """
        if role not in keys.ROLES:
            raise errors.BadInputError(f"--role {role}: expected one of {', '.join(keys.ROLES)}")
        with self.locked():
            root = self._read("root")
            old_root_keys = {
                identity: root.signed.keys[identity] for identity in root.signed.roles["root"].keyids
            }
            oldest = root.signed.roles[role].keyids[0]
            signer = keys.generate(self.key_folder, role)
            root.signed.revoke_key(oldest, role)
            root.signed.add_key(signer.public_key, role)
            root.signed.version += 1
            root.signed.expires = self.expiry("root")
            self.publish_root(root, besides=old_root_keys)
            self._advance(self._read("targets") if role == "targets" else None)
            return str(signer.public_key.keyid)

    def publish_root(self, root: Any, *, besides: Mapping[str, Any] | None = None) -> None:
        """Signs a root by its own threshold and by the one before it, and writes it.

        Raises:
          BadInputError: fewer root keys are at hand than the threshold asks for.
        """
        role = root.signed.roles["root"]
        wanted = {identity: root.signed.keys[identity] for identity in role.keyids}
        signers = keys.signers(self.key_folder, "root", {**(besides or {}), **wanted})
        for trusted in (set(wanted), set(besides or wanted)):
            if sum(signer.public_key.keyid in trusted for signer in signers) < role.threshold:
                raise errors.BadInputError(
                    f"{self.key_folder}: a new root needs {role.threshold} of the channel's root keys; too few are there"
                )
        root.signatures.clear()
        for signer in signers:
            root.sign(signer, append=True)
        self._write(f"{root.signed.version}.root.json", root)

    def publish(self, targets: Any, snapshot: Any, timestamp: Any) -> None:
        """Signs and writes the three, `timestamp.json` last."""
        from tuf.api.metadata import MetaFile

        root = self._read("root").signed
        if targets is not None:
            self._sign(targets, root, "targets")
            snapshot.signed.meta["targets.json"] = MetaFile(version=targets.signed.version)
            self._write(f"{targets.signed.version}.targets.json", targets)
        self._sign(snapshot, root, "snapshot")
        self._write(f"{snapshot.signed.version}.snapshot.json", snapshot)
        timestamp.signed.snapshot_meta = MetaFile(version=snapshot.signed.version)
        self._sign(timestamp, root, "timestamp")
        self._write("timestamp.json", timestamp)

    def _advance(self, targets: Any) -> None:
        """The next version of everything above the packages."""
        snapshot, timestamp = self._read("snapshot"), self._read("timestamp")
        for role, metadata in (("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)):
            if metadata is not None:
                metadata.signed.version += 1
                metadata.signed.expires = self.expiry(role)
        self.publish(targets, snapshot, timestamp)

    def _sign(self, metadata: Any, root: Any, role: str) -> None:
        wanted = {identity: root.keys[identity] for identity in root.roles[role].keyids}
        signers = keys.signers(self.key_folder, role, wanted)
        if len(signers) < root.roles[role].threshold:
            raise errors.BadInputError(
                f"{self.key_folder}: has no key that may sign {role}.json of this channel"
            )
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)

    def _put(self, targets: Any, path: str, data: bytes, facts: Mapping[str, Any]) -> None:
        from tuf.api.metadata import TargetFile

        file = TargetFile.from_data(path, data, ["sha256"])
        file.unrecognized_fields["custom"] = dict(facts)
        write_atomically(self.targets / f"{hashlib.sha256(data).hexdigest()}.{path}", data)
        targets.signed.targets[path] = file

    def _put_delta(self, targets: Any, old: Release, new: Release, data: bytes) -> None:
        before = (self.targets / f"{old.sha256}.{old.target}").read_bytes()
        delta = make_delta(before, data, methods=BARE_METHODS).to_bytes()
        if len(delta) < len(data):
            facts = {"kind": "delta", "from_sha256": old.sha256, "to_sha256": new.sha256}
            self._put(targets, f"{new.target}.from-{old.counter}.delta", delta, facts)

    def _read(self, role: str) -> Any:
        from tuf.api.metadata import Metadata

        numbered = sorted(self.metadata.glob(f"*.{role}.json"), key=lambda path: int(path.name.split(".")[0]))
        if role == "timestamp":
            path = self.metadata / "timestamp.json"
        elif role == "root":
            path = numbered[-1] if numbered else self.metadata / "1.root.json"
        else:
            path = self.metadata / f"{self._current(role)}.{role}.json"
        try:
            return Metadata.from_file(str(path))
        except Exception as error:  # tuf has a tree of its own for storage and for damage
            raise errors.BadInputError(
                f"{path}: cannot be read as TUF metadata ({error}); 'edgepack channel init' makes a channel"
            ) from None

    def _current(self, role: str) -> int:
        """The version that the timestamp leads to: a later file is what a killed writer left."""
        snapshot = self._read("timestamp").signed.snapshot_meta.version
        if role == "snapshot":
            return int(snapshot)
        from tuf.api.metadata import Metadata

        found: Any = Metadata.from_file(str(self.metadata / f"{snapshot}.snapshot.json")).signed
        return int(found.meta["targets.json"].version)

    def _write(self, name: str, metadata: Any) -> None:
        from tuf.api.serialization.json import JSONSerializer

        write_atomically(self.metadata / name, metadata.to_bytes(JSONSerializer(compact=True)))


def _counter(bundle: Bundle, before: list[Release]) -> int:
    """The signature's counter, or one more than the last release's."""
    newest = max((release.counter for release in before), default=0)
    signed = bundle.counter if isinstance(bundle, VerifiedBundle) else None
    if signed is not None and signed <= newest:
        raise errors.BadInputError(
            f"{bundle.contents.path}: is signed with the counter {signed}; the channel has {newest} of this lineage already"
        )
    return signed if signed is not None else newest + 1


def _file_name(lineage: str) -> str:
    return lineage.replace("@", "-for-")
