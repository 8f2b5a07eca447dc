"""``edgepack doctor``: what this installation can and cannot do."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.doctor/1).")
def command(as_json: bool) -> int:
    """Say what is installed, what is missing, and what that means. Exit 69 when building is impossible."""
    from edgepack.pipeline.environment import PACKAGES, processor, versions
    from edgepack.store import Store

    found = versions()
    store = Store()
    problems = list(_problems(found))
    if as_json:
        answer = {
            "schema": "edgepack.doctor/1",
            "versions": found,
            "processor": processor(),
            "store": str(store.root),
            "children_without_network": _without_network(),
        }
        click.echo(json.dumps({**answer, "problems": [text for _, text in problems]}, indent=1))
    else:
        click.echo(
            f"edgepack {found['edgepack']} · Python {found['python']} · {platform.platform()} · {processor()}"
        )
        for package in PACKAGES:
            click.echo(
                f"  {'✓' if package in found else '✗'} {package} {found.get(package, 'not installed')}"
            )
        click.echo(f"  store: {store.root}")
        shut = "without network" if _without_network() else "with network: this system lets nobody give it up"
        click.echo(f"  models run in children with limits, {shut}")
        for _, text in problems:
            click.echo(f"  ! {text}")
    return 69 if any(fatal for fatal, _ in problems) else 0


def _without_network() -> bool:
    """Whether interpreter children can give up the network here, tried in one."""
    from edgepack.child import leave_network

    pid = os.fork()
    if pid == 0:
        os._exit(0 if leave_network() else 1)
    return os.waitpid(pid, 0)[1] == 0


def _problems(found: dict[str, str]) -> list[tuple[bool, str]]:
    problems = []
    build = [
        name for name in ("tensorflow", "tf-keras", "tensorflow-model-optimization") if name not in found
    ]
    if build:
        problems.append(
            (True, f"{', '.join(build)} missing: 'build' cannot run; pip install \"edgepack[build]\"")
        )
    if "tensorflow" in found and not found["tensorflow"].startswith("2.19."):
        problems.append((False, f"tensorflow {found['tensorflow']}: edgepack is tested with 2.19"))
    if "tensorflow" in found and "tf-keras" in found and found["tensorflow"][:4] != found["tf-keras"][:4]:
        problems.append((True, f"tf-keras {found['tf-keras']} does not fit tensorflow {found['tensorflow']}"))
    if "tflite-runtime" not in found:
        why = (
            "it has no wheels for Python 3.12 and later"
            if sys.version_info >= (3, 12)
            else 'pip install "edgepack[tflite-runtime]"'
        )
        problems.append((False, f"tflite-runtime missing ({why}); LiteRT, the default, is used"))
    if any(importlib.util.find_spec(module) is None for module in ("jinja2", "vl_convert")):
        problems.append((False, "'report' and 'diff' write no pages; pip install \"edgepack[report]\""))
    return problems
