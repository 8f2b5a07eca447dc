"""From a list of stages and the facts of a model to steps that do not undo each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgepack import errors
from edgepack.gate.facts import LayerFacts
from edgepack.plan.promises import Books
from edgepack.plan.steps import Cell, Order, Plan, Row, Step
from edgepack.records import LedgerEntry
from edgepack.stages import Decision, StageSettings, Target, splits
from edgepack.tables import nearest

CHECK_WORK = 3e8
"""Multiply-adds that `check` spends on choosing ranks: about 0.1 s on one core."""

Numbered = tuple[int, StageSettings]


@dataclass(frozen=True, kw_only=True)
class _Live:
    """A layer or a factor that some stage may act on.

    Attributes:
      since: index of the factorize stage that makes it; -1 for layers of the model.
      until: index of the factorize stage that replaces it; None where it stays whole.
    """

    facts: LayerFacts
    origin: str | None = None
    since: int = -1
    until: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One stage acting on one layer, with the place in the run where it may."""

    index: int
    layer: str
    decision: Decision
    slot: int

    def key(self, stages: Sequence[Numbered]) -> tuple[int, int, int, int]:
        """Running order: by place; there the stage itself, then deferred prunes, then deferred clusters."""
        return (
            self.slot,
            int(self.slot != self.index),
            int(stages[self.index][1].use == "cluster"),
            self.index,
        )


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
      order: "pipeline" sorts the work so that nothing is undone; "strict" runs the list literally and says what is
        lost.
      has_training: whether `[data.training]` exists; without, every stage acts in one shot.
      exact: decide every rank now. False leaves the costly ones to the build ("undecided").

    Raises:
      RecipeError: a selector that matches nothing; training without data; sparsity that a stage is told to destroy.

    Example:
      >>> resolve([], []).steps
      ()
    """
    numbered = tuple(enumerate(stages, start=1))
    return _resolve(numbered, facts, order=order, has_training=has_training, exact=exact)


def resume(plan: Plan, facts: Sequence[LayerFacts], *, exact: bool = True) -> Plan:
    """Plans what a plan left for later, now that the student is there.

    Args:
      plan: with `later` stages.
      facts: of the student's candidate.
    """
    return _resolve(plan.later, facts, order=plan.order, has_training=plan.has_training, exact=exact)


def _resolve(
    numbered: Sequence[Numbered],
    facts: Sequence[LayerFacts],
    *,
    order: Order,
    has_training: bool,
    exact: bool,
) -> Plan:
    _check_training(numbered, has_training)
    now, later = _until_student(numbered, order)
    _check_selectors(
        [*now, *later] if not any(stage.makes_new_architecture for _, stage in now) else now, facts
    )
    planner = _Planner(now, facts, order=order, has_training=has_training, exact=exact)
    plan = planner.plan()
    rows = tuple(
        replace(
            row,
            cells={
                **row.cells,
                **{number: Cell(action="deferred", reason="to the student") for number, _ in later},
            },
        )
        for row in plan.rows
    )
    return replace(
        plan, rows=rows, later=later, stages=tuple(sorted((*now, *later), key=lambda pair: pair[0]))
    )


def _until_student(
    numbered: Sequence[Numbered], order: Order
) -> tuple[tuple[Numbered, ...], tuple[Numbered, ...]]:
    """Stages that can be planned now, and those that act on a student which does not exist yet."""
    for index, (_, stage) in enumerate(numbered):
        if stage.makes_new_architecture:
            before, after = numbered[:index], numbered[index + 1 :]
            if order == "strict":
                return tuple(numbered[: index + 1]), tuple(after)
            # What is done to the teacher's layers would be lost with them: the student gets it instead.
            moved = [pair for pair in before if pair[1].use in ("prune", "cluster", "factorize")]
            stay = [pair for pair in before if pair not in moved]
            return (*stay, numbered[index]), (*moved, *after)
    return tuple(numbered), ()


def _check_training(numbered: Sequence[Numbered], has_training: bool) -> None:
    for number, stage in numbered:
        if stage.needs_training_data and not has_training and getattr(stage, "data", None) is None:
            raise errors.RecipeError(
                f"[[stage]] {number} {stage.use}: needs [data.training]; the recipe has none"
            )


def _check_selectors(numbered: Sequence[Numbered], facts: Sequence[LayerFacts]) -> None:
    names = {each.name for each in facts}
    kinds = {each.kind for each in facts}
    if any(stage.use == "factorize" for _, stage in numbered):
        splittable = [each.name for each in facts if each.kind in splits.FACTORIZABLE]
        names |= {
            f"{name}_{part}" for name in splittable for part in ("depthwise", "reduce", "core", "expand")
        }
    for number, stage in numbered:
        for selector in stage.selectors():
            for glob, words in selector.unmatched(names, kinds):
                raise errors.RecipeError(
                    f'[[stage]] {number} {stage.use}: layers: "{glob}" matches no layer of the model'
                    f"{nearest(glob.removeprefix('!').strip('*'), words)}"
                )


class _Planner:
    """Plans stages that all act on one architecture."""

    def __init__(
        self,
        stages: Sequence[Numbered],
        facts: Sequence[LayerFacts],
        *,
        order: Order,
        has_training: bool,
        exact: bool,
    ) -> None:
        self.stages = stages
        self.order: Order = order
        self.has_training = has_training
        self.whole = sum(int(kernel.array.size) for each in facts for kernel in each.kernels) or 1
        self.work_left = None if exact else CHECK_WORK
        self.cells: dict[str, dict[int, Cell]] = {each.name: {} for each in facts}
        self.work: list[_Work] = []
        self.live = self._replace(facts)

    def plan(self) -> Plan:
        """Sorts the work, keeps the books, makes the steps."""
        for index, (_, stage) in enumerate(self.stages):
            if stage.use in ("prune", "cluster"):
                self._assign(index, stage)
        if self.order == "pipeline":
            self._cluster_after_prune()
        books = Books(order=self.order)
        steps = self._steps(books)
        for (number, layer), reason in books.lost.items():
            if layer in self.cells:
                self.cells[layer][number] = replace(self.cells[layer][number], action="lost", reason=reason)
        return Plan(
            steps=tuple(steps),
            rows=tuple(self._row(live) for live in self.live),
            claims=tuple(books.claims),
            notes=(*books.notes, *self._idle(steps)),
            order=self.order,
            has_training=self.has_training,
        )

    def _replace(self, facts: Sequence[LayerFacts]) -> list[_Live]:
        """Which layers a factorization replaces, with the factors right behind each."""
        live = []
        for each in facts:
            factors: tuple[LayerFacts, ...] = ()
            until = None
            for index, (number, stage) in enumerate(self.stages):
                if stage.use != "factorize":
                    continue
                if until is not None:
                    self.cells[each.name][number] = Cell(
                        action="left alone", reason=f"replaced by [[stage]] {self.stages[until][0]}"
                    )
                    continue
                decision = self._decide(stage, each, None)
                self._note(number, each.name, decision)
                if decision.undecided:
                    until = index
                elif decision.parameters is not None:
                    until = index
                    form, rank = str(decision.parameters["form"]), decision.parameters["rank"]
                    kept: splits.Rank = (rank[0], rank[1]) if isinstance(rank, list) else rank  # type: ignore[assignment]
                    factors = splits.factor_facts(each, form, kept)
                if until is not None:
                    self.work.append(_Work(index=index, layer=each.name, decision=decision, slot=index))
            live.append(_Live(facts=each, until=until))
            for factor in factors:
                assert until is not None
                self.cells[factor.name] = self._factor_cells(until, each.name)
                live.append(_Live(facts=factor, origin=each.name, since=until))
        return live

    def _factor_cells(self, made: int, origin: str) -> dict[int, Cell]:
        return {
            number: Cell(action="made", reason=f'factor of "{origin}"')
            if index == made
            else Cell(action="left alone", reason="is a factor already")
            for index, (number, stage) in enumerate(self.stages)
            if stage.use == "factorize" and index >= made
        }

    def _assign(self, index: int, stage: StageSettings) -> None:
        number = self.stages[index][0]
        for live in self.live:
            name = live.facts.name
            replaced = live.until is not None and (live.until < index or self.order == "pipeline")
            if replaced:
                assert live.until is not None
                self.cells[name][number] = self._handed_on(stage, live, index)
                continue
            if live.since > index and self.order == "strict":
                continue  # does not exist yet
            decision = self._decide(stage, live.facts, live.origin)
            slot = max(index, live.since)
            self._note(number, name, decision)
            if decision.acts:
                self.work.append(_Work(index=index, layer=name, decision=decision, slot=slot))
                if slot != index:
                    self._defer(number, name, f"until [[stage]] {self.stages[slot][0]} has made it")

    def _handed_on(self, stage: StageSettings, live: _Live, index: int) -> Cell:
        """Cell of a layer whose factors get what the stage asks for."""
        assert live.until is not None
        facts = live.facts
        refused = stage.layers.refusal(facts.name, facts.kind, facts.parameters)
        factors = [each for each in self.live if each.origin == facts.name]
        selected = [each for each in factors if stage.layers.selects(each.facts, origin=each.origin)]
        if refused is not None and not selected:
            return Cell(action="left alone", reason=refused)
        after = f"after [[stage]] {self.stages[live.until][0]} factorize"
        if not factors:
            return Cell(
                action="deferred", reason=f"to its factors, {after}; their shapes are decided at build"
            )
        if live.until < index:
            return Cell(action="left alone", reason="replaced by its factors")
        return Cell(action="deferred", reason=f"to {', '.join(each.facts.name for each in factors)}, {after}")

    def _cluster_after_prune(self) -> None:
        """A cluster on a layer waits for the last prune on it: pruning clustered weights would add values."""
        last_prune: dict[str, int] = {}
        for work in self.work:
            if self.stages[work.index][1].use == "prune":
                last_prune[work.layer] = max(work.slot, last_prune.get(work.layer, -1))
        for place, work in enumerate(self.work):
            number, stage = self.stages[work.index]
            prune = last_prune.get(work.layer, -1)
            if stage.use == "cluster" and prune > work.slot:
                self.work[place] = replace(work, slot=prune)
                self._defer(number, work.layer, f"until after [[stage]] {self.stages[prune][0]} prune")

    def _steps(self, books: Books) -> list[Step]:
        groups: dict[tuple[int, int, int, int], list[_Work]] = {}
        for work in self.work:
            groups.setdefault(work.key(self.stages), []).append(work)
        for index, (_, stage) in enumerate(self.stages):
            if stage.use not in ("prune", "cluster", "factorize"):
                groups[(index, 0, 0, index)] = []
        return [step for key in sorted(groups) if (step := self._step(key, groups[key], books)) is not None]

    def _step(self, key: tuple[int, int, int, int], group: Sequence[_Work], books: Books) -> Step | None:
        number, stage = self.stages[key[3]]
        wanted = []
        for work in group:
            if (reason := books.accept(number, stage, work.layer, work.decision)) is None:
                wanted.append(work)
            else:
                self.cells[work.layer][number] = Cell(action="left alone", reason=reason)
        if group and not wanted:
            return None
        layers = {work.layer: dict(work.decision.parameters or {}) for work in wanted}
        keep = books.keep(stage, layers)
        for work in wanted:
            books.enter(number, stage, work.layer, work.decision)
        if stage.makes_new_architecture:
            keep = {}
            books.forget_all(f"[[stage]] {number} {stage.use} puts another model in place")
        own_data = getattr(stage, "data", None) is not None
        return Step(
            number=number,
            settings=stage,
            deferred=key[1] == 1,
            layers=layers,
            keep=keep,
            trains=stage.train.on and (self.has_training or own_data),
        )

    def _decide(self, stage: StageSettings, facts: LayerFacts, origin: str | None) -> Decision:
        limit = self.work_left if stage.use == "factorize" else None
        decision = stage.plan_layer(
            Target(facts=facts, origin=origin, model_weights=self.whole, work_limit=limit)
        )
        if self.work_left is not None:
            self.work_left = max(0.0, self.work_left - decision.work)
        return decision

    def _note(self, number: int, layer: str, decision: Decision) -> None:
        action = "undecided" if decision.undecided else "acts" if decision.acts else "left alone"
        self.cells[layer][number] = Cell(
            action=action,
            reason=decision.reason,
            parameters=dict(decision.parameters or {}),  # type: ignore[arg-type]
        )

    def _defer(self, number: int, layer: str, reason: str) -> None:
        cell = self.cells[layer][number]
        self.cells[layer][number] = replace(cell, action="deferred", reason=reason)

    def _idle(self, steps: Sequence[Step]) -> list[LedgerEntry]:
        busy = {step.number for step in steps}
        return [
            LedgerEntry(
                stage=stage.use, layer="", action="note", reason=f"[[stage]] {number} acts on no layer"
            )
            for number, stage in self.stages
            if number not in busy
        ]

    def _row(self, live: _Live) -> Row:
        facts = live.facts
        cells: Mapping[int, Cell] = dict(sorted(self.cells[facts.name].items()))
        return Row(
            layer=facts.name,
            kind=facts.kind,
            shape=tuple(facts.kernels[0].array.shape) if facts.kernels else (),
            parameters=facts.parameters,
            origin=live.origin,
            cells=cells,
        )
