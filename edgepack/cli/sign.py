"""``edgepack sign``: vouch for a package."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("sign")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="edgepack.key; with --signer the public key, edgepack.pub.",
)
@click.option(
    "--signer",
    metavar="CMD",
    help="Let this program sign (KMS, HSM, PKCS#11): SHA-256 digest, 32 bytes, on its stdin; DER signature from its stdout.",
)
@click.option(
    "--counter",
    type=int,
    metavar="N",
    help="Counter against rollback, higher with every release.  [default: of the version: 1.2.3 is 1002003]",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: PACKAGE.sig, beside it]"
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.sign/1).")
def command(
    package: Path, key: Path, signer: str | None, counter: int | None, out: Path | None, as_json: bool
) -> int:
    """Sign PACKAGE (.edgepack): an in-toto statement over its files, in a DSSE envelope, into PACKAGE.sig."""
    from edgepack import bundle
    from edgepack.bundle import signing, statement
    from edgepack.bundle.package import package_of
    from edgepack.bundle.verification import signature_path
    from edgepack.cli.passphrase import known_passphrase
    from edgepack.durable import write_atomically

    contents = bundle.read_contents(package)
    package_of(contents)  # nobody vouches for golden vectors that no device can read
    number = statement.counter_of(contents.version) if counter is None else statement.require_counter(counter)
    if signer is None:
        sign, public = signing.key_signer(key, known_passphrase)
    else:
        sign, public = signing.command_signer(signer), signing.read_public_key(key)
    target = out or signature_path(package)
    write_atomically(target, signing.sign(contents, sign, public, counter=number).encode())
    answer = {
        "schema": "edgepack.sign/1",
        "package": str(package),
        "sha256": contents.sha256,
        "signature": str(target),
        "key": signing.fingerprint(public),
        "counter": number,
    }
    click.echo(
        json.dumps(answer, indent=1) if as_json else f"{target}  counter {number}, key sha256 {answer['key']}"
    )
    return 0
