"""From a list of stages and the facts of a model to steps that do not undo each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgepack.facts import LayerFacts
from edgepack.plan import demands
from edgepack.plan.assignment import Assignment, Live, Numbered, Work
from edgepack.plan.promises import Books
from edgepack.plan.steps import Cell, Order, Plan, Row, Step
from edgepack.records import LedgerEntry
from edgepack.stages import StageSettings


def resolve(
    stages: Sequence[StageSettings],
    facts: Sequence[LayerFacts],
    *,
    order: Order = "pipeline",
    has_training: bool = False,
    exact: bool = True,
) -> Plan:
    """Plans a recipe for a model.

    Args:
      stages: of the recipe, in its order.
      facts: of the model's weighted layers, with weights.
      order: "pipeline" sorts the work so that nothing is undone; "strict" runs the list literally and says
        what is lost.
      has_training: whether `[data.training]` exists; without, every stage acts in one shot.
      exact: decide every rank now. False leaves the costly ones to the build ("undecided").

    Raises:
      RecipeError: a selector that matches nothing; training without data; sparsity that a stage is told to
        destroy.

    Example:
      >>> resolve([], []).steps
      ()
    """
    numbered = tuple(enumerate(stages, start=1))
    return _resolve(numbered, facts, order=order, has_training=has_training, exact=exact)


def resume(
    plan: Plan,
    facts: Sequence[LayerFacts],
    *,
    origins: Mapping[str, str] | None = None,
    exact: bool = True,
) -> Plan:
    """Plans what a plan left for later, now that the student or the factors are there.

    Args:
      plan: with `later` stages; its claims and promises stand until a later stage ends them.
      facts: of the candidate as it now is.
      origins: factor → the layer that it came from.
    """
    return _resolve(
        plan.later,
        facts,
        order=plan.order,
        has_training=plan.has_training,
        exact=exact,
        origins=origins or {},
        before=plan,
    )


def _resolve(
    numbered: Sequence[Numbered],
    facts: Sequence[LayerFacts],
    *,
    order: Order,
    has_training: bool,
    exact: bool,
    origins: Mapping[str, str] | None = None,
    before: Plan | None = None,
) -> Plan:
    demands.check_training(numbered, has_training)
    now, later = _until_barrier(numbered, order)
    if before is None or any(step.settings.makes_new_architecture for step in before.steps):
        demands.check_selectors(_of_this_model(now, later), facts)
    assignment = Assignment(now, facts, order=order, exact=exact, origins=origins or {})
    plan = _plan(assignment, has_training, before)
    to = "the student" if any(stage.makes_new_architecture for _, stage in now) else "layers decided at build"
    rows = tuple(
        replace(
            row,
            cells={
                **row.cells,
                **{number: Cell(action="deferred", reason=f"to {to}") for number, _ in later},
            },
        )
        for row in plan.rows
    )
    return replace(
        plan, rows=rows, later=later, stages=tuple(sorted((*now, *later), key=lambda pair: pair[0]))
    )


def _until_barrier(
    numbered: Sequence[Numbered], order: Order
) -> tuple[tuple[Numbered, ...], tuple[Numbered, ...]]:
    """Stages that can be planned now, and those that act on layers which do not exist yet."""
    for index, (_, stage) in enumerate(numbered):
        if stage.makes_new_architecture or stage.decided_at_build:
            before, after = numbered[:index], numbered[index + 1 :]
            if order == "strict":
                return tuple(numbered[: index + 1]), tuple(after)
            # What is done to layers that go would be lost with them: those that come get it instead.
            uses = ("prune", "cluster", "factorize") if stage.makes_new_architecture else ("prune", "cluster")
            moved = [pair for pair in before if pair[1].use in uses]
            stay = [pair for pair in before if pair not in moved]
            return (*stay, numbered[index]), (*moved, *after)
    return tuple(numbered), ()


def _of_this_model(now: Sequence[Numbered], later: Sequence[Numbered]) -> list[Numbered]:
    """The stages whose selectors speak of the layers that there are: none that a student gets."""
    if any(stage.makes_new_architecture for _, stage in now):
        return list(now)
    found = list(now)
    for each in later:
        found.append(each)
        if each[1].makes_new_architecture:
            break
    return found


def _plan(work: Assignment, has_training: bool, before: Plan | None) -> Plan:
    """Keeps the books over the work in running order, going on from an earlier plan's, and makes the steps."""
    books = Books(order=work.order)
    if before is not None:
        books.claims = list(before.claims)
        books.promises = {layer: replace(promise) for layer, promise in before.promises.items()}
    steps = _steps(work, books, has_training)
    for (number, layer), reason in books.lost.items():
        if layer in work.cells:
            work.cells[layer][number] = replace(work.cells[layer][number], action="lost", reason=reason)
    return Plan(
        steps=tuple(steps),
        rows=tuple(_row(live, work.cells[live.facts.name]) for live in work.live),
        claims=tuple(books.claims),
        promises=books.promises,
        notes=(*books.notes, *_idle(work.stages, steps)),
        order=work.order,
        has_training=has_training,
    )


def _steps(work: Assignment, books: Books, has_training: bool) -> list[Step]:
    groups: dict[tuple[int, int, int, int], list[Work]] = {}
    for each in work.work:
        groups.setdefault(each.key(work.stages), []).append(each)
    for index, (_, stage) in enumerate(work.stages):
        if stage.use not in ("prune", "cluster", "factorize"):
            groups.setdefault((index, 0, 0, index), [])
    made = (_step(key, groups[key], work, books, has_training) for key in sorted(groups))
    return [step for step in made if step is not None]


def _step(
    key: tuple[int, int, int, int],
    group: Sequence[Work],
    work: Assignment,
    books: Books,
    has_training: bool,
) -> Step | None:
    number, stage = work.stages[key[3]]
    wanted = []
    for each in group:
        if (reason := books.accept(number, stage, each.layer, each.decision)) is None:
            wanted.append(each)
        else:
            work.cells[each.layer][number] = Cell(action="left alone", reason=reason)
    if group and not wanted:
        return None
    layers = {each.layer: dict(each.decision.parameters or {}) for each in wanted}
    keep = books.keep(stage, layers)
    if stage.makes_new_architecture:
        keep = {}
        books.forget_all(f"[[stage]] {number} {stage.use} puts another model in place")
    for each in wanted:
        books.enter(number, stage, each.layer, each.decision)
    own_data = getattr(stage, "data", None) is not None
    return Step(
        number=number,
        settings=stage,
        deferred=key[1] == 1,
        layers=layers,
        keep=keep,
        trains=stage.train.on and (has_training or own_data),
    )


def _idle(stages: Sequence[Numbered], steps: Sequence[Step]) -> list[LedgerEntry]:
    busy = {step.number for step in steps}
    return [
        LedgerEntry(stage=stage.use, layer="", action="note", reason=f"[[stage]] {number} acts on no layer")
        for number, stage in stages
        if number not in busy
    ]


def _row(live: Live, cells: Mapping[int, Cell]) -> Row:
    facts = live.facts
    return Row(
        layer=facts.name,
        kind=facts.kind,
        shape=facts.kernels[0].shape if facts.kernels else (),
        parameters=facts.parameters,
        origin=live.origin,
        cells=dict(sorted(cells.items())),
    )
