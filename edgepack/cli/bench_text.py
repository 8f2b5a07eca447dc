"""Measurements as a person reads them, the circumstances always beside the numbers."""

from __future__ import annotations

from edgepack.benchmark import Circumstances, Comparison, Latency, Measurement
from edgepack.benchmark.conformance import OutputConformance
from edgepack.benchmark.emulated import Emulated


def measurement(measured: Measurement) -> str:
    """One model."""
    lines = [
        _latency(measured.latency_ms),
        f"first inference {measured.first_inference_ms:.3f} ms, load {measured.load_ms:.2f} ms, peak memory "
        f"{measured.peak_rss_bytes / 1e6:.1f} MB (the model's share {measured.model_rss_bytes / 1e6:.1f} MB)",
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


def _latency(latency: Latency) -> str:
    return (
        f"p50 {latency.p50:.4f} ms, p90 {latency.p90:.4f}, p99 {latency.p99:.4f}, min {latency.min:.4f}, "
        f"median absolute deviation {latency.mad:.4f}"
    )


def _where(circumstances: Circumstances) -> str:
    return (
        f"{circumstances.runtime} {circumstances.version}, {circumstances.kernels} kernels, "
        f"{circumstances.threads} thread(s), {circumstances.cpu}, {circumstances.cores} cores"
    )


def _warnings(warnings: tuple[str, ...]) -> list[str]:
    return [f"warning: {text}" for text in warnings]
