"""The device's side of a delivery on the board's own Python: verifying a signed package, and its golden vectors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgepack.bundle import device_verifier
from edgepack.emulation import Machine
from tests.attacks.signed import Scene

pytestmark = pytest.mark.arm
SCRIPT = Path(device_verifier.__file__)
ROOT = Path(__file__).resolve().parents[2]
IMPORTS = """
import sys
from pathlib import Path
from edgepack import bundle
package, key = map(Path, sys.argv[1:])
found = bundle.admit(package, keys=[key], trust=None, allow_unsigned=False)
print(found.contents.version, sys.implementation._multiarch)
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def run(board: Machine, *words: str | Path, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*board.python(paths=paths), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_verifier_in_one_file(board: Machine, scene: Scene) -> None:
    good = run(board, SCRIPT, scene.package, "--key", scene.key)
    assert good.returncode == 0 and "verified" in good.stdout, good.stderr
    content = bytearray(scene.package.read_bytes())
    content[len(content) // 2] ^= 1
    scene.package.write_bytes(content)
    bad = run(board, SCRIPT, scene.package, "--key", scene.key)
    assert bad.returncode in (65, 77) and "Traceback" not in bad.stderr


def test_edgepacks_own_verification_with_the_boards_cryptography(board: Machine, scene: Scene) -> None:
    good = run(board, "-c", IMPORTS, scene.package, scene.key, paths=(ROOT,))
    assert good.returncode == 0, good.stderr
    assert good.stdout.split()[1] == "aarch64-linux-gnu"
    scene.sign_payload(scene.payload, key="evil")
    bad = run(board, "-c", IMPORTS, scene.package, scene.key, paths=(ROOT,))
    assert bad.returncode == 1 and "TrustError" in bad.stderr
