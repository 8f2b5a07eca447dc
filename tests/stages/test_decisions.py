"""Which layers each stage acts on, and the reasons where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.numerics import factorize as numerics
from edgepack.stages import STAGES, Cluster, Distill, Factorize, Finetune, Prune, Target
from tests.made_layers import make_layer

WHOLE = 100_000


def decide(stage, facts, origin=None):
    return stage.plan_layer(Target(facts=facts, origin=origin, model_weights=WHOLE))


DENSE = make_layer("dense", "Dense", (256, 64), bias=64)
CONV = make_layer("conv", "Conv2D", (3, 3, 32, 64), strides=(1, 1))
DEPTHWISE = make_layer("depthwise", "DepthwiseConv2D", (3, 3, 64, 1))
SEPARABLE = make_layer("separable", "SeparableConv2D", (3, 3, 64, 1), (1, 1, 64, 64), bias=64)
LSTM = make_layer("lstm", "LSTM", (32, 256), (64, 256), bias=256)
EMBEDDING = make_layer("words", "Embedding", (1000, 16))
NORM = make_layer("norm", "BatchNormalization", bias=64)
TINY = make_layer("tiny", "Dense", (16, 3))


class TestPrune:
    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            (NORM, "BatchNormalization has no kernel"),
            (DEPTHWISE, "depthwise kernels are small and lose much accuracy; name the layer to prune it"),
            (EMBEDDING, "rows are looked up, not multiplied; name the layer to prune it"),
            (TINY, "48 of the model's 100,000 weights (0.0%): nothing to gain, easily harmed"),
        ],
    )
    def test_leaves_alone(self, facts, reason) -> None:
        decision = decide(Prune(sparsity=0.5), facts)
        assert not decision.acts and decision.reason == reason and decision.claims == ()

    @pytest.mark.parametrize("facts", [DEPTHWISE, EMBEDDING, TINY])
    def test_naming_a_layer_overrides_caution(self, facts) -> None:
        by_name = Prune.model_validate({"sparsity": 0.5, "layers": facts.name})
        by_kind = Prune.model_validate({"sparsity": 0.5, "layers": {"kinds": [facts.kind]}})
        everything = Prune.model_validate({"sparsity": 0.5, "layers": "*"})
        assert decide(by_name, facts).acts and decide(by_kind, facts).acts
        assert not decide(everything, facts).acts

    def test_acts_on_the_pointwise_half_only(self) -> None:
        decision = decide(Prune(sparsity=0.5), SEPARABLE)
        assert decision.parameters["kernels"] == ["pointwise"]
        assert decision.reason.startswith("depthwise: depthwise kernels are small")
        assert [claim.role for claim in decision.claims] == ["pointwise"]

    def test_acts_on_both_kernels_of_a_recurrent_layer(self) -> None:
        decision = decide(Prune(sparsity=0.5), LSTM)
        assert [(claim.role, claim.wanted) for claim in decision.claims] == [
            ("kernel", 0.5),
            ("recurrent", 0.5),
        ]

    def test_threshold_and_global_claims_wait_for_the_run(self) -> None:
        assert decide(Prune(threshold=0.1), DENSE).claims[0].wanted is None
        assert decide(Prune(threshold=0.1), DENSE).parameters["threshold"] == 0.1
        assert decide(Prune(sparsity=0.5, scope="global"), DENSE).claims[0].wanted is None

    def test_patterns(self) -> None:
        decision = decide(Prune(structure="2:4"), CONV)
        assert decision.parameters["pattern"] == "2:4" and decision.claims[0].wanted == 0.5
        first = make_layer("first", "Conv2D", (3, 3, 3, 256))
        assert (
            decide(Prune(structure="2:4"), first).reason == "3 input channels do not divide into groups of 4"
        )
        blocks = Prune(structure="block", block=(1, 4), sparsity=0.5)
        assert decide(blocks, DENSE).parameters["block"] == [1, 4]
        odd = make_layer("odd", "Dense", (256, 10))
        assert decide(blocks, odd).reason == "256 inputs × 10 outputs do not divide into blocks of [1, 4]"

    def test_policy(self) -> None:
        stage = Prune(sparsity=0.75, policy="xnnpack_latency")
        assert decide(stage, CONV).reason == "XNNPACK runs only 1×1 convolutions sparse"
        assert (
            decide(stage, make_layer("p", "Conv2D", (1, 1, 64, 64))).parameters["policy"] == "xnnpack_latency"
        )

    def test_the_last_matching_target_wins(self) -> None:
        stage = Prune.model_validate(
            {
                "sparsity": 0.5,
                "target": [
                    {"layers": {"kinds": ["Dense"]}, "sparsity": 0.7},
                    {"layers": "dense", "threshold": 0.05},
                ],
            }
        )
        assert decide(stage, CONV).parameters["sparsity"] == 0.5
        assert decide(stage, DENSE).parameters["threshold"] == 0.05
        assert decide(stage, make_layer("other", "Dense", (256, 64))).parameters["sparsity"] == 0.7

    def test_schedule_goes_with_the_training_only(self) -> None:
        assert decide(Prune(sparsity=0.5, ramp=0.25), DENSE).parameters["ramp"] == 0.25
        quiet = Prune.model_validate({"sparsity": 0.5, "train": False})
        assert "schedule" not in decide(quiet, DENSE).parameters


class TestCluster:
    @pytest.mark.parametrize(
        ("stage", "facts", "reason"),
        [
            (Cluster(), DEPTHWISE, "9 weights per channel: no more than 16 values anyway"),
            (Cluster(per="layer"), DEPTHWISE, "depthwise kernels need their own values per channel"),
            (Cluster(), EMBEDDING, "one grid for the whole table: 16 values in all"),
            (Cluster(clusters=64, per="layer"), TINY, "48 weights per layer: no more than 64 values anyway"),
            (Cluster(clusters=8), TINY, "48 of the model's 100,000 weights"),
        ],
    )
    def test_leaves_alone(self, stage, facts, reason) -> None:
        decision = decide(stage, facts)
        assert not decision.acts and decision.reason.startswith(reason)

    def test_claims_one_per_kernel(self) -> None:
        decision = decide(Cluster(clusters=8), LSTM)
        assert [(c.kind, c.wanted, c.per, c.role) for c in decision.claims] == [
            ("clusters", 8.0, "channel", "kernel"),
            ("clusters", 8.0, "channel", "recurrent"),
        ]

    def test_target_and_parameters(self) -> None:
        stage = Cluster.model_validate({"clusters": 32, "target": [{"layers": "dense", "clusters": 4}]})
        assert decide(stage, DENSE).parameters == {
            "clusters": 4,
            "per": "channel",
            "initialization": "exact",
            "preserve_sparsity": True,
            "kernels": ["kernel"],
        }
        assert decide(stage, CONV).parameters["clusters"] == 32


class TestFactorize:
    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            (LSTM, "LSTM has no factorized form in stock Keras layers"),
            (DEPTHWISE, "DepthwiseConv2D has no factorized form in stock Keras layers"),
            (NORM, "BatchNormalization has no kernel"),
            (TINY, "48 weights: fewer than min_weights = 1,000"),
            (make_layer("g", "Conv2D", (3, 3, 8, 64), groups=4), "4 groups: a grouped convolution is small"),
            (DENSE, "energy = 0.95 needs rank 5"),
        ],
    )
    def test_leaves_alone(self, facts, reason) -> None:
        decision = decide(Factorize(energy=0.95), facts)
        assert not decision.acts and decision.reason.startswith(reason), decision.reason

    def test_says_what_does_not_pay(self) -> None:
        reason = decide(Factorize(rank=60), make_layer("d", "Dense", (256, 64))).reason
        assert reason == "rank = 60 needs rank 60 of 64 in dense form: 19,200 weights instead of 16,384"
        barely = decide(Factorize(rank=50), make_layer("d", "Dense", (256, 64))).reason
        assert barely.endswith("16,000 weights instead of 16,384, less than min_saving = 0.05 of them saved")
        assert decide(Factorize(rank=50, min_saving=0.0), make_layer("d", "Dense", (256, 64))).acts

    def test_strides_cost_multiply_adds_in_the_spatial_form(self) -> None:
        strided = make_layer("s", "Conv2D", (3, 3, 32, 32), strides=(2, 2))
        stage = Factorize(rank=40, form="spatial")
        assert decide(stage, make_layer("s", "Conv2D", (3, 3, 32, 32), strides=(1, 1))).acts
        assert "11,520 multiply-adds per position instead of 9,216" in decide(stage, strided).reason

    def test_energy_finds_the_rank(self) -> None:
        low = make_layer("low", "Dense", (256, 64), rank=5)
        decision = decide(Factorize(energy=0.9999999), low)
        assert decision.parameters == {"form": "dense", "rank": 5, "kernels": ["kernel"]}
        assert [(c.layer, c.kind, c.wanted) for c in decision.claims] == [("low_reduce", "rank", 5.0)]

    def test_max_error_is_kept(self) -> None:
        facts = make_layer("low", "Conv2D", (3, 3, 32, 64), rank=12)
        decision = decide(Factorize(max_error=0.5, form="channel"), facts)
        kernel = facts.kernels[0].array
        joined = numerics.join("channel", *numerics.split("channel", kernel, decision.parameters["rank"]))
        assert np.linalg.norm(kernel - joined) <= 0.5 * np.linalg.norm(kernel)

    @pytest.mark.parametrize(
        ("facts", "wanted", "form"),
        [
            (make_layer("d", "Dense", (256, 64)), "tucker", "dense"),
            (make_layer("p", "Conv2D", (1, 1, 64, 64)), "spatial", "pointwise"),
            (make_layer("c", "Conv1D", (5, 32, 64)), "auto", "conv1d"),
            (SEPARABLE, "auto", "pointwise"),
            (CONV, "tucker", "tucker"),
            (CONV, "channel", "channel"),
            (make_layer("flat", "Conv2D", (1, 7, 32, 64)), "spatial", "channel"),
        ],
    )
    def test_forms(self, facts, wanted, form) -> None:
        decision = decide(Factorize(ratio=0.5, form=wanted), facts)
        assert decision.parameters["form"] == form

    def test_ratio_bounds_the_weights(self) -> None:
        rank = decide(Factorize(ratio=0.3), DENSE).parameters["rank"]
        assert rank * (256 + 64) <= 0.3 * 256 * 64 < (rank + 1) * (256 + 64)

    def test_tucker_claims_two_ranks(self) -> None:
        decision = decide(Factorize(rank=[8, 12], form="tucker"), CONV)
        assert decision.parameters["rank"] == [8, 12]
        assert {c.layer: c.wanted for c in decision.claims} == {"conv_reduce": 8.0, "conv_core": 12.0}

    def test_factors_are_not_factorized_again(self) -> None:
        assert decide(Factorize(ratio=0.5), DENSE, origin="whole").reason == "is a factor already"


def test_whole_model_stages_leave_layers_alone() -> None:
    assert not decide(Finetune(), DENSE).acts and not decide(Distill(width=0.5), DENSE).acts


def test_the_registry_is_complete() -> None:
    assert {use: stage.model_fields["use"].default for use, stage in STAGES.items()} == {
        use: use for use in STAGES
    }


class TestMethods:
    @pytest.mark.parametrize(
        ("stage", "trained", "untrained"),
        [
            (Prune(sparsity=0.5), "magnitude", "obs"),
            (Cluster(), "kmeans", "obs"),
            (Cluster(initialization="linear"), "kmeans", "kmeans"),
            (Prune(sparsity=0.5, method="obs"), "obs", "obs"),
            (Cluster(method="kmeans"), "kmeans", "kmeans"),
        ],
    )
    def test_auto_looks_at_the_data(self, stage, trained, untrained) -> None:
        assert stage.informed(trains=True, calibrated=True).method == trained
        decided = stage.informed(trains=False, calibrated=True)
        assert decided.method == untrained and decided.uses_statistics == (untrained == "obs")
        if stage.method == "auto":
            assert not stage.informed(trains=False, calibrated=False).uses_statistics

    def test_statistics_do_not_start_from_another_methods_values(self) -> None:
        with pytest.raises(ValueError, match='initialization = "linear" is of method = "kmeans"'):
            Cluster(method="obs", initialization="linear")
