"""The user's files as the pipeline needs them: the model pinned and read, the data laid out in the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgepack import errors, gate
from edgepack.data import Dataset, DataSource, fingerprint
from edgepack.data.materialize import materialize
from edgepack.facts import LayerFacts
from edgepack.gate import Graph
from edgepack.pipeline.pins import pinned_sha256
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import NO_EVALUATION, Recipe
from edgepack.records import Candidate, Json, TensorSpec


@dataclass(frozen=True, kw_only=True)
class Source:
    """The model that the recipe names, as read from its file.

    Attributes:
      path: the user's file, or a SavedModel directory.
      sha256: of the file; of all files of a directory.
      facts: its weighted layers; () for a SavedModel that is no Keras layer graph.
      inputs, outputs: Keras names.
      candidate: where the model already had to be imported to be known (a SavedModel); else None.
      layered: whether stages can act on it.
    """

    path: Path
    sha256: str
    facts: tuple[LayerFacts, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    candidate: Candidate | None = None
    layered: bool = True


@dataclass(frozen=True, kw_only=True)
class Datasets:
    """The recipe's data, checked and mapped."""

    calibration: Dataset | None
    evaluation: Dataset
    training: Dataset | None


def open_source(recipe: Recipe, workspace: Workspace, *, trust_input: bool) -> Source:
    """Checks the pin and reads the file: statically, unless it is a SavedModel.

    Raises:
      ModelError: missing, broken, refused, or not the pinned file.
      TrustError: a SavedModel without --trust-input, own layers without --trust-code.
    """
    workspace.backend.check_trust()
    path, digest = recipe.model_path, pinned_sha256(recipe)
    if gate.is_saved_model(path):
        return _open_saved_model(path, digest, recipe, workspace, trust_input=trust_input)
    graph = opened_graph(recipe)
    return Source(
        path=path,
        sha256=digest,
        facts=gate.layer_facts(graph),
        inputs=graph.specs,
        outputs=tuple(name for name, _ in graph.outputs),
    )


def import_candidate(
    recipe: Recipe, source: Source, workspace: Workspace, *, trust_input: bool = False
) -> Candidate:
    """The model as the first candidate, made in the TensorFlow child."""
    if source.candidate is not None:
        return source.candidate
    return _imported(recipe, source.path, source.sha256, workspace, trust_input=trust_input)[0]


def warm_up(recipe: Recipe, source: Source, workspace: Workspace) -> None:
    """Starts the TensorFlow child if the model was never imported, so that its start overlaps with reading data."""
    if source.candidate is None and not workspace.has("read model", _import_parts(recipe, source.sha256)):
        workspace.backend.start()


def opened_graph(recipe: Recipe) -> Graph:
    """The recipe's model as read from its file, with the outputs that the recipe keeps."""
    graph = gate.read(recipe.model_path, custom=recipe.model.custom)
    return graph if recipe.model.outputs is None else gate.keep_outputs(graph, recipe.model.outputs)


def _import_parts(recipe: Recipe, digest: str) -> dict[str, Json]:
    outputs = recipe.model.outputs
    return {"model": digest, "outputs": list(outputs) if outputs is not None else None}


def _imported(
    recipe: Recipe, path: Path, digest: str, workspace: Workspace, *, trust_input: bool
) -> tuple[Candidate, dict[str, Any]]:
    parts = _import_parts(recipe, digest)

    def make(directory: Path) -> Json:
        return workspace.backend.call(
            "import_model",
            source=str(path),
            target=str(directory / "candidate.h5"),
            trust_input=trust_input,
            outputs=parts["outputs"],
        )

    entry = workspace.produce("read model", parts, make, tensorflow=True)
    if entry.record["kind"] == "saved_model":
        return Candidate(path=path, sha256=digest), entry.record
    return Candidate.at(entry.files["candidate.h5"]), entry.record


def _open_saved_model(
    path: Path, digest: str, recipe: Recipe, workspace: Workspace, *, trust_input: bool
) -> Source:
    if not trust_input:
        raise errors.TrustError(
            f"{path}: is a SavedModel, and loading one runs code of its own; give --trust-input if you trust who "
            "made it, or save the model as .keras or .h5"
        )
    candidate, record = _imported(recipe, path, digest, workspace, trust_input=True)
    layered = record["kind"] == "candidate"
    if not layered and (recipe.stages or recipe.target):
        raise errors.ModelError(
            f"{path}: stages cannot act on this SavedModel: {record['reason']}; remove [target] and the [[stage]] tables to "
            "quantize it only, or save the model as .keras"
        )
    return Source(
        path=path,
        sha256=digest,
        facts=gate.layer_facts(gate.read(candidate.path, custom=recipe.model.custom)) if layered else (),
        inputs=tuple(_spec(item) for item in record["inputs"]),
        outputs=tuple(str(item["name"]) for item in record["outputs"]),
        candidate=candidate,
        layered=layered,
    )


def open_data(recipe: Recipe, source: Source, workspace: Workspace, *, trust_code: bool) -> Datasets:
    """Lays out every [data.…] table of the recipe for the model's inputs."""

    def opened(name: str, table: DataSource | None) -> Dataset | None:
        return (
            None
            if table is None
            else open_dataset(recipe, name, table, source.inputs, workspace, trust_code=trust_code)
        )

    data = recipe.data
    evaluation = opened("evaluation", data.evaluation)
    if evaluation is None:
        raise errors.RecipeError(f"{recipe.path}: {NO_EVALUATION}")
    return Datasets(
        calibration=opened("calibration", data.calibration),
        evaluation=evaluation,
        training=opened("training", data.training),
    )


def open_dataset(
    recipe: Recipe,
    name: str,
    table: DataSource,
    inputs: Iterable[TensorSpec],
    workspace: Workspace,
    *,
    trust_code: bool,
) -> Dataset:
    """One data source as a `Dataset` whose files lie in the store."""
    source = table.resolved(recipe.directory)
    specs = tuple(inputs)

    def make(directory: Path) -> Json:
        dataset = materialize(
            source,
            recipe.preprocess,
            specs,
            directory,
            trust_code=trust_code,
            import_paths=(recipe.directory,),
        )
        return {"dataset": dataset.to_json(), "directory": str(directory)}

    parts: dict[str, Json] = {
        "source": fingerprint(source, recipe.preprocess, import_paths=(recipe.directory,)),
        "inputs": [[spec.name, list(spec.shape), spec.dtype] for spec in specs],
        "place": source.path if source.kind == "npy" else None,  # a .npy is used where it lies
    }
    entry = workspace.produce(f"{name} data", parts, make)
    return _moved(
        Dataset.from_json(entry.record["dataset"]), Path(entry.record["directory"]), entry.directory
    )


def _moved(dataset: Dataset, old: Path, new: Path) -> Dataset:
    """The dataset after its directory became an entry of the store; files that lie elsewhere stay."""

    def moved(path: Path) -> Path:
        return new / path.relative_to(old) if path.is_relative_to(old) else path

    return replace(
        dataset,
        inputs={name: moved(path) for name, path in dataset.inputs.items()},
        labels={name: moved(path) for name, path in dataset.labels.items()},
    )


def _spec(item: dict[str, Any]) -> TensorSpec:
    return TensorSpec(name=item["name"], shape=tuple(item["shape"]), dtype=item["dtype"])
