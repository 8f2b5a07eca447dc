"""Updates that arrive, by deltas where they can, and models that fail on the device and never become current."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgepack import errors
from edgepack.agent import Slots
from tests.agent.conftest import World


def test_the_first_update_fetches_the_whole_package(world: World) -> None:
    outcome = world.update()
    assert (outcome.status, outcome.way) == ("updated", "full")
    assert world.model() == world.model_of("1.0.0")
    assert world.update().status == "current"


def test_later_updates_come_as_deltas_into_the_other_slot(world: World) -> None:
    first = world.update()
    world.publish("1.1.0")
    second = world.update()
    assert (second.status, second.way) == ("updated", "delta")
    assert first.installed is not None
    assert second.installed is not None
    assert first.installed.slot != second.installed.slot
    assert second.fetched_bytes < first.fetched_bytes / 2
    assert world.model() == world.model_of("1.1.0")
    assert Slots(world.state).inspected(first.installed.slot) == first.installed  # still there, to go back to


def test_a_device_that_slept_over_many_releases(world: World) -> None:
    world.update()
    for version in ("1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"):
        world.publish(version)
    outcome = world.update()
    assert (outcome.status, outcome.way) == ("updated", "full")
    assert world.model() == world.model_of("1.5.0")


def test_a_model_that_this_device_computes_wrongly_never_becomes_current(world: World) -> None:
    world.update()
    world.publish("2.0.0")
    outcome = world.update(lambda package: "y is off by 40")
    assert (outcome.status, outcome.reason) == ("rejected", "y is off by 40")
    assert world.model() == world.model_of("1.0.0")
    assert world.update().status == "rejected"  # not tried again and again
    world.publish("2.0.1")
    assert world.update().status == "updated"
    assert world.model() == world.model_of("2.0.1")


def test_golden_vectors_of_another_model_are_found_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the device's real interpreter: vectors that it does not reproduce."""
    from edgepack.runtime import vectors

    world.publish("1.1.0")
    real = vectors.run_golden

    def wrong(*arguments: object, **options: object) -> object:
        return {name: 127 - array for name, array in real(*arguments, **options).items()}  # type: ignore[arg-type]

    monkeypatch.setattr("edgepack.bundle.package.run_golden", wrong)
    outcome = world.update()
    assert outcome.status == "rejected"
    assert "y is off by" in outcome.reason
    assert not (world.state / "current").exists()


def test_a_damaged_slot_is_mended_by_the_next_update(world: World) -> None:
    world.update()
    (world.state / "current" / "model.tflite").write_bytes(b"altered")
    with pytest.raises(errors.StorageError, match="was altered"):
        Slots(world.state).current()
    assert world.update().status == "updated"
    assert world.model() == world.model_of("1.0.0")


def test_only_one_agent_works(world: World) -> None:
    import fcntl

    with (world.state / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.DeviceError, match="another agent"):
            world.update()


def test_through_the_command(world: World) -> None:
    agent = [sys.executable, "-c", "from edgepack.cli.agent import main; main()"]
    done = subprocess.run(
        [*agent, "update", str(world.state), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "updated"
    shown = subprocess.run([*agent, "status", str(world.state)], capture_output=True, text=True, check=False)
    assert json.loads(shown.stdout)["installed"]["version"] == "1.0.0"
    lost = subprocess.run(
        [*agent, "update", str(world.folder / "none")], capture_output=True, text=True, check=False
    )
    assert lost.returncode == 65
    assert "edgepack-agent init" in lost.stderr


KILLED = """
import sys
from pathlib import Path
from edgepack.agent import update
from edgepack.cli.agent import fault
print("begun", flush=True)
update(Path(sys.argv[1]), lambda package: fault(package, "litert"))
"""


def killed_update(world: World, draw: random.Random, longest_s: float) -> bool:
    """Starts an update and kills it; whether it was still at work."""
    agent = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(world.state)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert agent.stdout is not None
    agent.stdout.readline()
    time.sleep(draw.uniform(0, longest_s))
    running = agent.poll() is None
    os.killpg(agent.pid, signal.SIGKILL) if running else None
    agent.wait()
    agent.stdout.close()
    return running


def survive(world: World, kills: int) -> int:
    """Kills `kills` updates at random moments; after each, a verified model of a release must be current."""
    draw, struck, version = random.Random(5), 0, 0
    world.update()
    whole = {world.model()}
    longest_s = 0.2
    while struck < kills:
        version += 1
        world.publish(f"1.{version}.0")
        whole.add(world.model_of(f"1.{version}.0"))
        while killed_update(world, draw, longest_s):
            struck += 1
            longest_s *= 1.15
            found = Slots(world.state).current()
            assert found is not None
            assert world.model() in whole
            if struck >= kills:
                break
        longest_s = max(0.2, longest_s * 0.6)
        assert world.update().status in ("updated", "current")
        assert world.model() == world.model_of(f"1.{version}.0")
        left = {path.name for path in (world.state / "slots").iterdir()}
        assert left <= {"a", "b"}
    return struck


def test_killed_twice_a_verified_model_stays(world: World) -> None:
    assert survive(world, 2) == 2


@pytest.mark.slow
def test_killed_fifty_times_a_verified_model_stays(world: World) -> None:
    assert survive(world, 50) == 50


def test_an_interrupted_switch_leads_to_a_whole_slot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.update()
    world.publish("1.1.0")

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Slots(world.state).switch("b")
    assert world.model() == world.model_of("1.0.0")
    assert world.update().status == "updated"
    assert not list(world.state.glob(".current-*"))
