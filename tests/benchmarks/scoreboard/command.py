"""python -m tests.benchmarks scoreboard: runs the rows, keeps each at once, then the table, the picture, the verdicts."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from edgepack import errors
from tests.benchmarks.scoreboard import own, peers, scaling, table
from tests.benchmarks.scoreboard.cases import Case, of_recipe, shared
from tests.benchmarks.scoreboard.document import Document
from tests.benchmarks.scoreboard.dominance import Point, verdict
from tests.benchmarks.scoreboard.material import Material, lay_out
from tests.benchmarks.scoreboard.process import RowFailed
from tests.benchmarks.scoreboard.row import Found, Made, Row
from tests.benchmarks.scoreboard.scoring import References, answers, compared, scored, timed

SHARED: Final = peers.ROOT.parent / "shared" / "models"
QUICK_CASES: Final = ("ic_resnet8", "kws_dscnn")
JOINT: Final = "joint-"
REFERENCES: Final = (peers.FLOAT, peers.PTQ)
"""Rows that every case needs: drops are below the first, the others are compared with the second too."""
CLOCKS: Final = (peers.PTQ, own.PLAIN, peers.FLOAT)
"""What latency is divided by: the bare converter's int8, or the next that there is."""


def main(words: Sequence[str]) -> int:
    arguments = parsed(words)
    console = Console(width=max(130, Console().width))
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    document = Document(out / "scoreboard.json", words=list(words))
    # Beside the clone, not in /tmp, which may be memory; removed at the end, whatever happens.
    folder = Path(tempfile.mkdtemp(prefix="scoreboard-", dir=out))
    try:
        for case in chosen_cases(arguments):
            run_case(case, folder / case.name, arguments, document, console)
        if arguments.scaling:
            document.tell("scaling", rows=scaling.measured(folder / "scaling", console))
    except KeyboardInterrupt:
        console.print("cut off; what was run so far is kept")
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        pictures = _drawn(document, out)
    console.print("written: " + ", ".join(str(path) for path in (document.target, *pictures)))
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks scoreboard", description=__doc__)
    parser.add_argument("--model", default="*", help="comma-separated globs on cases; all by default")
    parser.add_argument("--rows", default="*", help="comma-separated globs on rows, such as joint,tfmot*")
    parser.add_argument(
        "--recipe", type=Path, action="append", default=[], help="a recipe of yours as a case"
    )
    parser.add_argument("--models", type=Path, default=None, help="folder of the shared models")
    parser.add_argument(
        "--quick", action="store_true", help="two models, one size of each method: ten minutes"
    )
    parser.add_argument("--thorough", action="store_true", help="all sizes of each method on every model")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each latency comparison; 0 for none")
    parser.add_argument("--scaling", action="store_true", help="also time the joint plan on larger models")
    parser.add_argument("--keep", action="store_true", help="leave the files of every row")
    parser.add_argument("--out", type=Path, default=peers.ROOT / "dist")
    return parser.parse_args(words)


def chosen_cases(arguments: argparse.Namespace) -> list[Case]:
    """The cases that were asked for; with recipes of the user's own, only those unless models are named."""
    models = arguments.models or Path(os.environ.get("EDGEPACK_SHARED_MODELS", SHARED))
    found = [of_recipe(path) for path in arguments.recipe]
    if arguments.recipe and arguments.model == "*":
        return found
    if not models.is_dir():
        raise SystemExit(f"the shared models are not in {models}; give --models or --recipe")
    wanted = QUICK_CASES if arguments.quick and arguments.model == "*" else arguments.model.split(",")
    known = shared(models)
    found += [case for name, case in known.items() if matches(name, wanted)]
    if not found:
        raise SystemExit(f"--model {arguments.model}: no such model; there are {', '.join(known)}")
    return found


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether a name is meant: by a glob, or by its beginning up to a dash.

    Example:
      >>> matches("joint-1", ["joint"]), matches("prune-obs-0.5", ["*-0.5"]), matches("aeq", ["joint"])
      (True, True, False)
    """
    return any(fnmatch(name, glob) or name.startswith(f"{glob}-") for glob in globs)


def run_case(
    case: Case, folder: Path, arguments: argparse.Namespace, document: Document, console: Console
) -> None:
    """All chosen rows of one case."""
    try:
        material = lay_out(case, folder)
    except (errors.EdgepackError, OSError) as error:
        document.add(Found(case=case.name, row="*", method="", owner="", failure=str(error)))
        return
    facts = {
        "metric": material.metric.name,
        "samples": material.evaluation.count,
        "model": Path(material.recipe.model.path).name,
    }
    document.tell(case.name, **facts)
    references, outputs, files = References(), {}, {}
    one_size = arguments.quick or not (case.thorough or arguments.thorough)
    rows = [*peers.rows(material, one_size=one_size), *own.rows(material, one_size=one_size)]
    for row in _chosen(rows, arguments.rows.split(",")):
        found, made, output = run_row(row, material, references)
        if output is not None and made is not None:
            outputs[row.name], files[row.name] = output, made.tflite
            references = _noted(references, row.name, output)
        document.add(found)
        console.print(f"{case.name}: {row.name}: {found.failure or table.cells(found)[1:]}", markup=False)
    if arguments.seconds:
        time_rows(case.name, files, document, console, seconds=arguments.seconds)
    document.tell(case.name, verdicts=_verdicts(case.name, material, document.rows, outputs))
    shown = [row for row in document.rows if row.case == case.name]
    table.show(console, case.name, document.body["cases"][case.name], shown)


def _chosen(rows: Sequence[Row], globs: Sequence[str]) -> list[Row]:
    needed = [row for row in rows if row.name in REFERENCES or matches(row.name, globs)]
    shares = any(row.name.startswith(JOINT) for row in needed)
    return [row for row in rows if row in needed or (shares and row.name == own.PLAIN)]


def run_row(
    row: Row, material: Material, references: References
) -> tuple[Found, Made | None, np.ndarray | None]:
    """One row, run and scored; where it fails, with its reason and without numbers."""
    folder = material.folder / "rows" / row.name
    folder.mkdir(parents=True)
    found = Found(
        case=material.case.name, row=row.name, method=row.method, owner=row.owner, load=os.getloadavg()[0]
    )
    began = time.perf_counter()
    try:
        made = row.make(material, folder)
        output = answers(material, made, folder)
        if row.name == peers.FLOAT:
            references = replace(references, original=output)
        return scored(found, material, made, output, references), made, output
    except (RowFailed, errors.EdgepackError, OSError, KeyError, ValueError) as error:
        text = str(error) if isinstance(error, (RowFailed, errors.EdgepackError)) else repr(error)
        failed = replace(found, failure=" ".join(text.split())[:600], seconds=time.perf_counter() - began)
        return failed, None, None


def _noted(references: References, name: str, output: np.ndarray) -> References:
    """The references with what this row adds to them."""
    known = {peers.FLOAT: "original", peers.PTQ: "ptq"}
    return replace(references, **{known[name]: output}) if name in known else references


def time_rows(
    case: str, files: Mapping[str, Path], document: Document, console: Console, *, seconds: float
) -> None:
    """Times every file in turns with plain int8, when nothing else of the case runs any more."""
    clock = next((name for name in CLOCKS if name in files), None)
    if clock is None:
        return
    for row in [row for row in document.rows if row.case == case and row.row in files]:
        console.print(f"{case}: timing {row.row}", end="\r", markup=False, highlight=False)
        document.add(timed(row, files[row.row], files[clock], clock, seconds=seconds))


def _verdicts(
    case: str, material: Material, rows: Sequence[Found], outputs: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    """Every joint point, none of which trained, held against all other rows, trained ones too."""
    points = [
        Point(row=row.row, method=row.method, size_bytes=row.sizes["delivered"], drop=row.drop)
        for row in rows
        if row.case == case and row.sizes is not None and row.drop is not None and row.row != peers.FLOAT
    ]
    told = []
    for point in points:
        if point.row.startswith(JOINT) and point.method == "edgepack joint plan":
            found = verdict(point, [other for other in points if not other.row.startswith(JOINT)])
            paired: dict[str, object] = {}
            if found.best_rival is not None:
                _, paired["interval"] = compared(material, outputs[point.row], outputs[found.best_rival])
            told.append({**found.to_json(), **paired})
    return told


def _drawn(document: Document, out: Path) -> list[Path]:
    from tests.benchmarks.scoreboard.plot import draw

    facts = {name: told for name, told in document.body["cases"].items() if name != "scaling"}
    return draw(document.rows, facts, out / "scoreboard")
