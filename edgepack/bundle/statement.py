"""The signed text: an in-toto statement that lists the SHA-256 of every member.

Predicate `https://model_signing/signature/v1.0` of OpenSSF model-signing, "files" method: its verifier accepts the
unzipped package. Version 1.0 of the predicate lets other fields be added; `edgepack` holds the counter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from edgepack import errors
from edgepack.bundle.envelope import strict_json
from edgepack.records import Json, canonical_json

TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAX_COUNTER: Final = (1 << 32) - 1
"""What the security counter of a boot loader holds."""


def statement(digests: Mapping[str, str], *, subject: str, counter: int) -> bytes:
    """The statement about a package's members, in canonical form.

    Args:
      digests: SHA-256 of each member.
      subject: how people call it; nothing is decided by it.
      counter: grows with every release of the same lineage; against rollback.
    """
    resources = dict(sorted(digests.items()))
    listed: list[Json] = [
        {"algorithm": "sha256", "digest": digest, "name": name} for name, digest in resources.items()
    ]
    document: Json = {
        "_type": TYPE,
        "subject": [{"name": subject, "digest": {"sha256": root_digest(resources)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "resources": listed,
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [],
            },
            "edgepack": {"counter": counter},
        },
    }
    return canonical_json(document)


def check(payload: bytes, digests: Mapping[str, str], source: str) -> int | None:
    """Checks a statement whose signature holds against the digests of the members that are there.

    Returns:
      The counter, or None where another tool signed, which has none.

    Raises:
      TrustError: it is about other members, or no such statement.
    """
    document = strict_json(payload, f"{source}: the signed statement")
    try:
        if document["_type"] != TYPE or document["predicateType"] != PREDICATE_TYPE:
            raise errors.TrustError(
                f"{source}: signs a {document['predicateType']!r}, which says nothing of a package's files"
            )
        predicate = document["predicate"]
        how = predicate["serialization"]
        if (how["method"], how["hash_type"]) != ("files", "sha256"):
            raise errors.TrustError(
                f"{source}: signs {how['method']} by {how['hash_type']}; expected whole files by sha256"
            )
        signed = _signed(predicate["resources"])
        (subject,) = document["subject"]
        if subject["digest"] != {"sha256": root_digest(signed)}:
            raise errors.TrustError(f"{source}: its subject's digest is not that of the files it lists")
        counter = _counter(predicate.get("edgepack"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.TrustError(
            f"{source}: the signed statement lacks something or has it twice: {type(error).__name__} {error}"
        ) from None
    _compare(signed, dict(sorted(digests.items())), source)
    return counter


def counter_of(version: str) -> int:
    """The counter that a version stands for, so that releases need not count: 1.2.3 → 1002003.

    Raises:
      BadInputError: not three numbers, or too large.

    Example:
      >>> counter_of("1.2.3"), counter_of("2.0.0")
      (1002003, 2000000)
    """
    parts = re.fullmatch(r"(\d{1,4})\.(\d{1,3})\.(\d{1,3})", version, re.ASCII)
    if parts is None:
        raise errors.BadInputError(
            f"the version {version!r} is not MAJOR.MINOR.PATCH in numbers below 1000, so it gives no counter; "
            "say --counter N"
        )
    major, minor, patch = map(int, parts.groups())
    counter = (major * 1000 + minor) * 1000 + patch
    return require_counter(counter)


def require_counter(counter: int) -> int:
    """The same counter.

    Raises:
      BadInputError: it is negative or over 32 bits.
    """
    if not 0 <= counter <= MAX_COUNTER:
        raise errors.BadInputError(f"the counter {counter} is not between 0 and {MAX_COUNTER} (32 bits)")
    return counter


def root_digest(resources: Mapping[str, str]) -> str:
    """SHA-256 over the digests one after the other, in the order of the names."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in resources.values())).hexdigest()


def _signed(resources: Any) -> dict[str, str]:
    signed: dict[str, str] = {}
    for resource in resources:
        if resource["algorithm"] != "sha256" or resource["name"] in signed:
            raise ValueError(f"resource {resource['name']!r}")
        signed[resource["name"]] = resource["digest"]
    return signed


def _counter(extension: Any) -> int | None:
    if extension is None:
        return None
    counter = extension["counter"]
    if type(counter) is not int or not 0 <= counter <= MAX_COUNTER:
        raise ValueError(f"counter {counter!r}")
    return counter


def _compare(signed: Mapping[str, str], found: Mapping[str, str], source: str) -> None:
    if list(signed) != list(found):
        raise errors.TrustError(
            f"{source}: signs the files {', '.join(map(str, signed))}; the package has {', '.join(found)}"
        )
    changed = [name for name in found if signed[name] != found[name]]
    if changed:
        raise errors.TrustError(
            f"{source}: signs another {', '.join(changed)} than the package has: the signature of another package"
        )
