"""A channel with small packages, and a device that follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edgepack import bundle
from edgepack.agent import Outcome, begin, update
from edgepack.channel import Channel, create
from edgepack.cli.agent import fault
from edgepack.records import TensorSpec
from tests.tflite.handmade_tflite import Handmade

MakePackage = Callable[[str], Path]


@pytest.fixture(scope="session")
def make_package(tmp_path_factory: pytest.TempPathFactory) -> MakePackage:
    """Packages of one lineage; each version is another model with the same graph."""
    folder = tmp_path_factory.mktemp("packages")

    def make(version: str) -> Path:
        target = folder / f"tiny-{version}.edgepack"
        if target.exists():
            return target
        graph = Handmade()
        scale = 0.03 + 0.01 * sum(map(ord, version))
        x = graph.tensor("x", (1, 600), scale=scale, zero_point=[3])
        y = graph.tensor("y", (1, 600), scale=1 / 256, zero_point=[-128])
        graph.op("LOGISTIC", [x], [y])
        model = folder / f"{version}.tflite"
        model.write_bytes(graph.to_bytes([x], [y]))
        spec = TensorSpec(name="x", shape=(1, 600), dtype="int8", scale=scale, zero_point=3)
        manifest = {"name": "tiny", "version": version, "labels": []}
        golden = bundle.make_golden(model, (spec,))
        bundle.pack(target, model=model, manifest=manifest, golden=golden, recipe_text="edgepack = 1\n")
        return target

    return make


@dataclass
class World:
    """Channel, keys and device of one test."""

    folder: Path
    make_package: MakePackage
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def state(self) -> Path:
        return self.folder / "device"

    def channel(self, *, days_ago: float = 0, keys: str = "keys") -> Channel:
        return Channel(self.folder / "channel", self.folder / keys, now=self.now - timedelta(days=days_ago))

    def publish(self, version: str, **when: float) -> None:
        self.channel(**when).add(bundle.admit(self.make_package(version), allow_unsigned=True))  # type: ignore[arg-type]

    def update(self, check: Callable[[Path], str | None] | None = None) -> Outcome:
        return update(self.state, check or (lambda package: fault(package, "litert")))

    def model(self) -> bytes:
        """What applications on the device open."""
        return (self.state / "current" / "model.tflite").read_bytes()

    def model_of(self, version: str) -> bytes:
        return bundle.read(self.make_package(version)).model


@pytest.fixture
def world(tmp_path: Path, make_package: MakePackage) -> World:
    pytest.importorskip("tuf")
    made = World(folder=tmp_path, make_package=make_package)
    create(tmp_path / "channel", tmp_path / "keys", family="test", now=made.now)
    made.publish("1.0.0")
    root = (tmp_path / "channel/metadata/1.root.json").read_bytes()
    begin(made.state, channel=str(tmp_path / "channel"), lineage="tiny", root=root)
    return made
