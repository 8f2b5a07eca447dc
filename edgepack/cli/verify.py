"""``edgepack verify``: is this package what somebody trusted signed?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepack.cli.trusting import trust_options
from edgepack.cli.visible import say

if TYPE_CHECKING:
    from edgepack.bundle import VerifiedBundle


@click.command("verify")
@click.argument("package", type=click.Path(path_type=Path), required=False)
@trust_options
@click.option(
    "--signature", type=click.Path(path_type=Path, dir_okay=False), help="[default: PACKAGE.sig, beside it]"
)
@click.option("--no-record", is_flag=True, help="Look only: leave the trust file's rollback state as it is.")
@click.option("--start-state", is_flag=True, help="Begin the trust file's rollback state; it must not exist.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.verify/1).")
@click.option(
    "--print-verifier",
    is_flag=True,
    help="Print a verifier in one file that needs only Python, for devices without edgepack.",
)
def command(
    package: Path | None,
    keys: tuple[Path, ...],
    trust: Path | None,
    signature: Path | None,
    no_record: bool,
    start_state: bool,
    as_json: bool,
    print_verifier: bool,
) -> int:
    """Verify PACKAGE (.edgepack) and its signature by public keys or a trust file. Nothing in it is run.

    Exit codes: 0 trusted, 65 a broken package, 77 not trusted.
    """
    from edgepack import errors

    if print_verifier:
        source = Path(__file__).parents[1] / "bundle" / "device_verifier.py"
        click.echo(source.read_text(), nl=False)
        return 0
    if package is None:
        raise click.UsageError("missing argument 'PACKAGE'")
    if (trust is None) == (not keys):
        raise click.UsageError("say whom to trust: either --key edgepack.pub or --trust trust.toml")
    answer: dict[str, Any] = {"schema": "edgepack.verify/1", "package": str(package)}
    try:
        found = _verified(package, keys, trust, signature, record=not no_record, start_state=start_state)
    except errors.EdgepackError as error:
        answer |= {"verified": False, "error": str(error), "exit_code": error.exit_code}
        if as_json:
            click.echo(json.dumps(answer, indent=1))
        raise
    answer |= {
        "verified": True,
        "sha256": found.contents.sha256,
        "name": found.contents.name,
        "version": found.contents.version,
        "counter": found.counter,
        "key": {"name": found.key.name, "sha256": found.key.fingerprint},
    }
    say(json.dumps(answer, indent=1) if as_json else _text(answer))
    return 0


def _verified(
    package: Path,
    keys: tuple[Path, ...],
    trust: Path | None,
    signature: Path | None,
    *,
    record: bool,
    start_state: bool,
) -> VerifiedBundle:
    from edgepack import errors
    from edgepack.bundle import rollback
    from edgepack.bundle.admission import trust_of
    from edgepack.bundle.verification import accept, verify

    policy = trust_of(keys, trust)
    if start_state:
        if policy.state is None:
            raise errors.BadInputError(
                f'{policy.source}: names no state to begin; add state = "counters.json" to a trust file'
            )
        rollback.start(policy.state)
    found = verify(package, policy, signature=signature)
    if record:
        accept(found, policy)
    return found


def _text(answer: dict[str, Any]) -> str:
    return (
        f"{answer['package']}: verified\n"
        f"  {answer['name']} {answer['version']}, counter {answer['counter']}\n"
        f"  sha256 {answer['sha256']}\n"
        f"  signed by {answer['key']['name']}, key sha256 {answer['key']['sha256']}"
    )
