"""Which stage acts on which layer, and when at the earliest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgepack.facts import LayerFacts
from edgepack.plan.steps import Action, Cell, Order
from edgepack.stages import Decision, StageSettings, Target, splits

CHECK_WORK = 2e9
"""Multiply-adds that `check` spends on choosing ranks: about 0.1 s on one core."""

Numbered = tuple[int, StageSettings]
"""A stage with its number in the recipe, from 1."""


@dataclass(frozen=True, kw_only=True)
class Live:
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
class Work:
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


class Assignment:
    """Work and table cells of stages that all act on one architecture.

    Attributes:
      stages: with their numbers.
      live: layers of the model in order, each followed by the factors that a stage makes of it.
      work: what is to be done; `Work.key` sorts it into running order.
      cells: layer → stage number → cell.
    """

    def __init__(
        self,
        stages: Sequence[Numbered],
        facts: Sequence[LayerFacts],
        *,
        order: Order,
        exact: bool,
        origins: Mapping[str, str] | None = None,
    ) -> None:
        self.stages = stages
        self._origins = origins or {}
        self.order: Order = order
        self.whole = sum(kernel.size for each in facts for kernel in each.kernels) or 1
        self.work_left = None if exact else CHECK_WORK
        self.cells: dict[str, dict[int, Cell]] = {each.name: {} for each in facts}
        self.work: list[Work] = []
        self.live = self._replace(facts)
        for index, (_, stage) in enumerate(stages):
            if stage.use in ("prune", "cluster", "shrink"):
                self._assign(index, stage)
        if order == "pipeline":
            self._cluster_after_prune()

    def _replace(self, facts: Sequence[LayerFacts]) -> list[Live]:
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
                decision = self._decide(stage, each, self._origins.get(each.name))
                self._note(number, each.name, decision)
                if decision.undecided:
                    until = index
                elif decision.parameters is not None:
                    until = index
                    form, rank = str(decision.parameters["form"]), decision.parameters["rank"]
                    kept: splits.Rank = (rank[0], rank[1]) if isinstance(rank, list) else rank  # type: ignore[assignment]
                    factors = splits.factor_facts(each, form, kept)
                if until is not None:
                    self.work.append(Work(index=index, layer=each.name, decision=decision, slot=index))
            live.append(Live(facts=each, origin=self._origins.get(each.name), until=until))
            for factor in factors:
                assert until is not None
                self.cells[factor.name] = self._factor_cells(until, each.name)
                live.append(Live(facts=factor, origin=each.name, since=until))
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
                self.work.append(Work(index=index, layer=name, decision=decision, slot=slot))
                if slot != index:
                    self._defer(number, name, f"after [[stage]] {self.stages[slot][0]} has made the layer")

    def _handed_on(self, stage: StageSettings, live: Live, index: int) -> Cell:
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
                self._defer(number, work.layer, f"after [[stage]] {self.stages[prune][0]} prune")

    def _decide(self, stage: StageSettings, facts: LayerFacts, origin: str | None) -> Decision:
        limit = self.work_left if stage.use == "factorize" else None
        decision = stage.plan_layer(
            Target(facts=facts, origin=origin, model_weights=self.whole, work_limit=limit)
        )
        if self.work_left is not None:
            self.work_left = max(0.0, self.work_left - decision.work)
        return decision

    def _note(self, number: int, layer: str, decision: Decision) -> None:
        action: Action = "undecided" if decision.undecided else "acts" if decision.acts else "left alone"
        self.cells[layer][number] = Cell(
            action=action,
            reason=decision.reason,
            parameters=dict(decision.parameters or {}),
        )

    def _defer(self, number: int, layer: str, reason: str) -> None:
        cell = self.cells[layer][number]
        self.cells[layer][number] = replace(cell, action="deferred", reason=reason)
