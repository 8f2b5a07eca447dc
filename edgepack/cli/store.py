"""``edgepack store``: the cache of stage results."""

from __future__ import annotations

import click


@click.group("store")
def command() -> None:
    """Keep the cache of stage results in order."""


@command.command("gc")
@click.option(
    "--max-age-days", type=float, default=30.0, show_default=True, help="Drop entries unused for longer."
)
@click.option(
    "--max-gb", type=float, help="Then drop the least recently used until the store is smaller than this."
)
def gc(max_age_days: float, max_gb: float | None) -> int:
    """Drop old entries and what killed builds left behind."""
    from edgepack.store import Store

    report = Store().gc(
        max_age_s=max_age_days * 86400, max_bytes=int(max_gb * 1e9) if max_gb is not None else None
    )
    click.echo(
        f"removed {report.removed} entries, freed {report.removed_bytes / 1e6:,.1f} MB; {report.kept} entries stay"
    )
    return 0


@command.command("verify")
def verify() -> int:
    """Re-hash every entry; move corrupt ones aside (they are rebuilt when needed)."""
    from edgepack.store import Store

    report = Store().verify()
    click.echo(f"{report.sound} entries are sound, {len(report.corrupt)} were corrupt and moved aside")
    for key in report.corrupt:
        click.echo(f"  {key}")
    return 0
