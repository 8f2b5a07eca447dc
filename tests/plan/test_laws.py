"""Laws that hold for every list of stages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import plan
from edgepack.stages import Cluster, Factorize, Finetune, Prune

fractions = st.sampled_from([0.3, 0.5, 0.8])
prunes = st.builds(lambda value: Prune(sparsity=value), fractions) | st.just(Prune(threshold=0.1))
prunes |= st.just(Prune(sparsity=0.4, scope="global"))
clusters = st.builds(
    lambda count, per: Cluster(clusters=count, per=per),
    st.sampled_from([4, 16]),
    st.sampled_from(["channel", "layer"]),
)
factorizations = st.sampled_from([Factorize(energy=0.9), Factorize(ratio=0.4), Factorize(rank=5)])
stages = st.lists(prunes | clusters | factorizations | st.just(Finetune()), max_size=6)
named = st.sampled_from([{}, {"names": ("conv*",)}, {"names": ("!conv_3",)}, {"kinds": ("Dense",)}])


@st.composite
def recipes(draw):
    drawn = draw(stages)
    return [
        stage
        if isinstance(stage, Finetune)
        else type(stage).model_validate({**stage.model_dump(), "layers": draw(named)})
        for stage in drawn
    ]


def walked(resolved):
    """Runs the steps on paper: what every layer has after each step, asserting that nothing is broken."""
    has: dict[str, set[str]] = {}
    for step in resolved.steps:
        for name, parameters in step.layers.items():
            before = has.setdefault(name, set())
            if step.settings.use == "factorize":
                assert not before, f"{name} had {before} and is replaced"
                del has[name]
            elif step.settings.use == "prune":
                assert "clusters" not in before, f"{name} is pruned after it was clustered"
                before.add("zeros")
            else:
                assert "zeros" not in before or step.keep[name]["zeros"], f"{name} loses its zeros"
                before.add("clusters")
            assert parameters is not None
        for name, promised in has.items():
            if promised and name not in step.layers:
                kept = step.keep[name]
                assert kept["zeros"] == ("zeros" in promised)
                assert (kept["clusters"] is not None) == ("clusters" in promised)
    return has


@settings(max_examples=200, deadline=None)
@given(recipes())
def test_pipeline_order_breaks_no_promise(cnn, drawn) -> None:
    resolved = plan.resolve(drawn, cnn, has_training=True)
    has = walked(resolved)
    claimed = {(claim.layer, claim.kind) for claim in resolved.claims if claim.kind != "rank"}
    made = {
        (name, "sparsity" if promise == "zeros" else promise)
        for name, all_ in has.items()
        for promise in all_
    }
    assert claimed == made


@settings(max_examples=100, deadline=None)
@given(recipes())
def test_strict_order_claims_only_what_is_left(cnn, drawn) -> None:
    resolved = plan.resolve(drawn, cnn, order="strict", has_training=True)
    assert [step.number for step in resolved.steps] == sorted(step.number for step in resolved.steps)
    replaced = {name for step in resolved.steps if step.settings.use == "factorize" for name in step.layers}
    assert not {claim.layer for claim in resolved.claims} & replaced
    assert not any(step.deferred for step in resolved.steps)


@settings(max_examples=100, deadline=None)
@given(recipes(), st.sampled_from(["pipeline", "strict"]))
def test_every_layer_has_an_answer_from_every_stage(cnn, drawn, order) -> None:
    resolved = plan.resolve(drawn, cnn, order=order, has_training=True)
    names = [row.layer for row in resolved.rows]
    assert len(names) == len(set(names))
    for row in resolved.rows:
        for number, stage in resolved.stages:
            if stage.use == "finetune" or row.origin is not None:
                continue
            cell = row.cells[number]
            assert cell.reason or cell.parameters, f"{row.layer} by {number}"
    for step in resolved.steps:
        assert set(step.layers) <= set(names)
    assert resolved == plan.resolve(drawn, cnn, order=order, has_training=True)
