"""``edgepack keygen``: a key pair to sign packages with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("keygen")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the two files; made where missing.  [default: this one]",
)
@click.option(
    "--encrypt",
    is_flag=True,
    help="Protect the private key with a passphrase: $EDGEPACK_KEY_PASSPHRASE, else asked for.",
)
def command(out: Path, encrypt: bool) -> int:
    """Make edgepack.key (private: keep it to yourself) and edgepack.pub (public: for those who verify).

    ECDSA P-256 in PEM, as openssl reads it. Files that are there are never overwritten.
    """
    from edgepack import errors
    from edgepack.bundle import signing
    from edgepack.cli.passphrase import new_passphrase
    from edgepack.durable import storage_errors, write_new

    private, public = out / signing.PRIVATE_NAME, out / signing.PUBLIC_NAME
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise errors.StorageError(
                f"{path}: exists; keys are never overwritten: choose another --out, or move it away"
            )
    private_pem, public_pem = signing.generate(new_passphrase() if encrypt else None)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_new(private, private_pem, mode=0o600)
    write_new(public, public_pem)
    click.echo(f"{private}  keep it secret\n{public}  sha256 {signing.fingerprint(public_pem)}")
    return 0
