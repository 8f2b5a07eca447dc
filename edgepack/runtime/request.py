"""What the runner on a device is asked: one JSON file beside the models.

Sent to devices, whose Python may be 3.9: its dataclasses don't know `kw_only` yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from edgepack import errors

if TYPE_CHECKING:
    from edgepack.records import Json

SCHEMA: Final = "edgepack.runner/1"
TASKS: Final = ("check", "time", "time_pair", "time_each")


@dataclass(frozen=True)
class RunnerModel:
    """A model in the runner's folder.

    Attributes:
      file: its name there, without folders.
      sha256: its digest, checked before anything else.
      golden: the "golden" table of its package's manifest, None where it has none.
      golden_file: name of its golden.bin there.
    """

    file: str
    sha256: str
    golden: Mapping[str, Any] | None = None
    golden_file: str | None = None


@dataclass(frozen=True)
class RunnerRequest:
    """One session of the runner.

    Attributes:
      task: "check" stops after hashes and golden vectors; "time" then times each model in a process of its own,
        "time_pair" two models in turns, "time_each" all models one after the other in one process, `rounds` times.
      models: what lies beside the request.
      runtime, kernels, threads: what computes.
      seconds: about how long to time: each model, the pair, or each model in each round.
      rounds: of "time_pair" and "time_each".
      seed: of drawn inputs and of order.
      timeout_s: for everything; then the runner ends what it started.
      memory_bytes: address-space limit of the interpreter's process, None for none.
      delegate: path of an external delegate's library on the device, None for none.
      delegate_options: what that library is told.
    """

    task: str
    models: tuple[RunnerModel, ...]
    runtime: str = "litert"
    kernels: str = "default"
    threads: int = 1
    seconds: float = 2.0
    rounds: int = 12
    seed: int = 0
    timeout_s: float = 600.0
    memory_bytes: int | None = None
    delegate: str | None = None
    delegate_options: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """What REQUEST.json holds."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, told: Any) -> RunnerRequest:
        """Inverse of `to_json`.

        Raises:
          BadInputError: not such an object; says what is wrong.
        """
        if not isinstance(told, Mapping) or told.get("schema") != SCHEMA:
            raise errors.BadInputError(f'not a request to the runner: expected "schema": "{SCHEMA}"')
        values = {name: value for name, value in told.items() if name != "schema"}
        unknown = sorted(set(values) - {each.name for each in fields(cls)})
        if unknown:
            raise errors.BadInputError(f"the request has {unknown[0]!r}, which this runner does not know")
        try:
            models = tuple(RunnerModel(**model) for model in values.pop("models"))
            request = cls(models=models, **values)
        except (KeyError, TypeError) as error:
            raise errors.BadInputError(f"the request does not fit: {error}") from error
        request.require_sense()
        return request

    def require_sense(self) -> None:
        """Raises BadInputError where the request cannot be carried out."""
        names = [
            name for model in self.models for name in (model.file, model.golden_file) if name is not None
        ]
        beyond = [name for name in names if not isinstance(name, str) or "/" in name or name.startswith(".")]
        if beyond:
            raise errors.BadInputError(
                f"{beyond[0]!r} is not a plain file name; files lie beside the request"
            )
        if self.task not in TASKS:
            raise errors.BadInputError(f"task {self.task!r}; expected one of {', '.join(TASKS)}")
        if not self.models or (self.task == "time_pair" and len(self.models) != 2):
            raise errors.BadInputError(f"task {self.task!r} got {len(self.models)} models")
        if self.threads < 1 or self.seconds <= 0 or self.rounds < 1 or self.timeout_s <= 0:
            raise errors.BadInputError("threads, seconds, rounds and timeout_s must be more than 0")
