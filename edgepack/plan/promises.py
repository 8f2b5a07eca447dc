"""Walks the work in the order in which it will run and keeps the books of what has been promised so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgepack import errors
from edgepack.plan.steps import Order, Promise
from edgepack.records import Claim, Json, LedgerEntry
from edgepack.stages import Cluster, Decision, StageSettings


@dataclass
class Books:
    """Promises by layer, the claims that stand, and what was lost.

    `accept` is asked for each piece of work in running order and answers why it is not needed, or None.
    """

    order: Order
    promises: dict[str, Promise] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    notes: list[LedgerEntry] = field(default_factory=list)
    lost: dict[tuple[int, str], str] = field(default_factory=dict)
    """(stage number, layer) → why what it did there does not last."""

    def keep(self, stage: StageSettings, acted: Mapping[str, object]) -> dict[str, dict[str, Json]]:
        """What a step must hold: all promises but those that it replaces itself."""
        kept = {}
        for layer, promise in self.promises.items():
            held = promise.to_keep()
            if layer in acted:
                if stage.use == "factorize":
                    continue
                if stage.use in ("prune", "cluster"):
                    held["clusters"] = None
                if isinstance(stage, Cluster) and not stage.preserve_sparsity:
                    held["zeros"] = False
            if held["zeros"] or held["clusters"]:
                kept[layer] = held
        return kept

    def accept(self, number: int, stage: StageSettings, layer: str, decision: Decision) -> str | None:
        """Why the work is not needed any more; None where it is, and its claims may be entered."""
        promise = self.promises.get(layer, Promise())
        if stage.use == "prune":
            wanted = decision.claims[0].wanted
            if wanted is not None and promise.sparsity is not None and promise.sparsity >= wanted:
                return f"already {promise.sparsity:.0%} zeros by [[stage]] {promise.zeros}"
        if isinstance(stage, Cluster):
            wanted = decision.claims[0].wanted
            if promise.clusters is not None and (
                promise.per != stage.per or promise.distinct <= (wanted or 0)
            ):
                return (
                    f"already {promise.distinct} clusters per {promise.per} by [[stage]] {promise.clusters}"
                )
            if promise.zeros is not None and not stage.preserve_sparsity and self.order == "pipeline":
                raise errors.RecipeError(
                    f"[[stage]] {number} cluster: preserve_sparsity = false would fill the zeros that "
                    f'[[stage]] {promise.zeros} makes in layer "{layer}"; remove it, keep the layer out with '
                    '`layers`, or say order = "strict" to lose them knowingly'
                )
        return None

    def enter(self, number: int, stage: StageSettings, layer: str, decision: Decision) -> None:
        """Books work that will run: promises made, promises lost."""
        promise = self.promises.setdefault(layer, Promise())
        if stage.use == "factorize":
            self._lose_all(layer, f"[[stage]] {number} factorize replaces the layer")
        elif stage.use == "prune":
            if promise.clusters is not None:
                self._lose(layer, "clusters", f"[[stage]] {number} prune changes clustered weights")
                promise.clusters = promise.per = None
            promise.zeros = number
            known = decision.claims[0].wanted
            promise.sparsity = known if known is not None else promise.sparsity
        elif isinstance(stage, Cluster):
            if promise.zeros is not None and not stage.preserve_sparsity:
                self._lose(layer, "sparsity", f"[[stage]] {number} cluster with preserve_sparsity = false")
                promise.zeros = promise.sparsity = None
            promise.clusters, promise.per = number, stage.per
            promise.distinct = int(decision.claims[0].wanted or 0)
        kinds = {claim.kind for claim in decision.claims if claim.wanted is not None}
        weaker = [claim for claim in self.claims if claim.layer == layer and claim.kind in kinds]
        self.claims = [claim for claim in self.claims if claim not in weaker]
        self.claims += [replace(claim, stage=number) for claim in decision.claims]

    def forget_all(self, reason: str) -> None:
        """A new architecture stands in place of the model: nothing that was promised is left."""
        for layer in list(self.promises):
            self._lose_all(layer, reason)
        for claim in self.claims:
            self.lost[(claim.stage, claim.layer)] = reason
        self.claims.clear()

    def _lose_all(self, layer: str, reason: str) -> None:
        # The factors that replace a layer have channels of their own: that promise ends without a loss.
        self.claims = [claim for claim in self.claims if (claim.layer, claim.kind) != (layer, "channels")]
        for kind in ("sparsity", "clusters"):
            self._lose(layer, kind, reason)
        self.promises.pop(layer, None)

    def _lose(self, layer: str, kind: str, reason: str) -> None:
        gone = [claim for claim in self.claims if claim.layer == layer and claim.kind == kind]
        for claim in gone:
            self.claims.remove(claim)
        for number in dict.fromkeys(claim.stage for claim in gone):
            self.lost[(number, layer)] = reason
            use = {"sparsity": "prune", "clusters": "cluster"}[kind]
            self.notes.append(LedgerEntry(stage=use, layer=layer, action="lost", reason=f"{kind}: {reason}"))
