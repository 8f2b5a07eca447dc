"""Measurements as a person reads them, the circumstances always beside the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack.benchmark import Circumstances, Comparison, Latency, Measurement
from edgepack.benchmark.conformance import OutputConformance
from edgepack.benchmark.emulated import Emulated
from edgepack.benchmark.energy import Energy
from edgepack.benchmark.profile import Profile
from edgepack.benchmark.recorded import Beside
from edgepack.runtime.golden import OutputCheck


def measurement(measured: Measurement) -> str:
    """One model."""
    arena = (
        ""
        if measured.arena_bytes is None
        else f", activations {measured.arena_bytes / 1e3:.1f} KB as planned"
    )
    lines = [
        _latency(measured.latency_ms),
        f"first inference {measured.first_inference_ms:.3f} ms, load {measured.load_ms:.2f} ms (allocating "
        f"{measured.allocate_ms:.2f}), peak memory {measured.peak_rss_bytes / 1e6:.1f} MB (the model's share "
        f"{measured.model_rss_bytes / 1e6:.1f} MB{arena})",
        f"{measured.runs:,} runs after {measured.warmup_runs:,} to warm up, {_where(measured.circumstances)}",
        f"sha256 {measured.sha256}",
    ]
    return "\n".join([*lines, *_warnings(measured.warnings)])


def comparison(compared: Comparison) -> str:
    """Two models that took turns."""
    verdict = "differs" if compared.differs else "no difference shown"
    lines = [
        f"A  {_latency(compared.a_ms)}",
        f"B  {_latency(compared.b_ms)}",
        f"A/B {compared.ratio:.3f}, {compared.confidence:.0%} interval {compared.low:.3f} … {compared.high:.3f}: {verdict}",
        f"{compared.rounds} rounds in turns, {_where(compared.circumstances)}",
    ]
    return "\n".join([*lines, *_warnings(compared.warnings)])


def emulated(found: Emulated) -> str:
    """One model on an emulated board: no times."""
    counted = found.instructions
    lines = [
        f"{counted.per_inference / 1e6:,.3f} million instructions per inference ({found.kernels} kernels, one thread; "
        f"repeats differ by {counted.spread:.4%})".replace("%)", " %)"),
        *(_output(output, found) for output in found.outputs),
        f"emulated {found.device}, {found.runtime} {found.version} there, {found.host_version} here",
        f"sha256 {found.sha256}",
    ]
    return "\n".join([*lines, *_warnings(found.warnings())])


def _output(output: OutputConformance, found: Emulated) -> str:
    unit = "LSB" if output.integer else "absolute"
    same = "identical" if output.identical else f"{output.reference_difference:g} {unit} apart"
    agreement = "" if output.argmax_agreement is None else f", argmax agrees in {output.argmax_agreement:.2%}"
    return (
        f"{'✓' if output.holds else '✗'} {output.name}: {found.samples} samples here and there: reference kernels {same} "
        f"({output.reference_sha256[1][:16]}), default kernels within {output.default_difference:g} {unit} of "
        f"{output.default_tolerance:g}{agreement}".replace("%", " %")
    )


def beside(found: Beside) -> str:
    """A measurement beside a recorded one."""
    what = "the same model" if found.same_model else f"another model, sha256 {found.recorded_sha256}"
    return f"recorded p50 {found.recorded_p50_ms:.4f} ms ({what}); now/then {found.ratio:.3f}, not in turns: no interval"


def energy(found: Energy) -> str:
    """What the meter told."""
    carbon = ""
    if found.grams_co2_per_million is not None:
        carbon = (
            f"; a million inferences make {found.grams_co2_per_million:.3g} g of CO₂ at "
            f"{found.grams_co2_per_kwh:g} g/kWh"
        )
    return (
        f"energy {1e3 * found.joules_per_inference:.4g} mJ an inference, above idle "
        f"{1e3 * found.above_idle_joules_per_inference:.4g} mJ ({found.watts:.2f} W, idle {found.idle_watts:.2f} W, "
        f"{found.readings} readings){carbon}"
    )


def profile(found: Profile, measured: Measurement) -> str:
    """Op by op, predicted."""
    p10_us = 1e3 * measured.latency_ms.p10
    lines = [
        f"profile: predicted from the table {found.table!r}, because the interpreter gives no times of single ops",
        f"{'op':>5}  {'operator':<26}{'us':>10}{'share':>8}",
        *(f"{op.index:>5}  {op.name:<26}{op.microseconds:>10.2f}{op.share:>8.1%}" for op in found.ops),
        f"{'':>5}  {'invoke':<26}{found.invoke_us:>10.2f}{found.invoke_us / found.total_us:>8.1%}",
        f"predicted {found.total_us:.1f} us, measured p10 {p10_us:.1f} us ({found.total_us / p10_us - 1:+.0%})",
    ]
    return "\n".join([*lines, *_warnings(found.warnings)])


def outputs(checks: Sequence[OutputCheck]) -> str:
    """A delegate's outputs beside those of the reference kernels."""
    return "\n".join(
        f"through the delegate, output {check.name!r} is up to {check.difference:g} from the reference kernels "
        f"({check.tolerance:g} tolerated): {'holds' if check.holds else 'DOES NOT HOLD'}"
        for check in checks
    )


def _latency(latency: Latency) -> str:
    return (
        f"p50 {latency.p50:.4f} ms, p10 {latency.p10:.4f}, p90 {latency.p90:.4f}, p99 {latency.p99:.4f}, "
        f"min {latency.min:.4f}, median absolute deviation {latency.mad:.4f}"
    )


def _where(circumstances: Circumstances) -> str:
    return (
        f"{circumstances.runtime} {circumstances.version}, {circumstances.kernels} kernels, "
        f"{circumstances.threads} thread(s), {circumstances.cpu}, {circumstances.cores} cores{_weather(circumstances)}"
    )


def _weather(circumstances: Circumstances) -> str:
    """Clock, governor and heat from before to after, where the machine tells them."""
    states = circumstances.states
    clocks = [state.frequency_mhz for state in states if state.frequency_mhz is not None]
    heat = [state.temperature_c for state in states if state.temperature_c is not None]
    told = [
        f", clock {min(clocks):.0f} … {max(clocks):.0f} MHz" if clocks else "",
        f", governor {states[0].governor}" if states[0].governor else "",
        f", {min(heat):.0f} … {max(heat):.0f} °C" if heat else "",
    ]
    return "".join(told)


def _warnings(warnings: tuple[str, ...]) -> list[str]:
    return [f"warning: {text}" for text in warnings]
