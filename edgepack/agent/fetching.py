"""TUF's own client, over HTTPS or from a folder (a mounted medium, a shared file system)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from edgepack import errors
from edgepack.durable import storage_errors

CHUNK_BYTES: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A target of the channel that is meant for this device.

    Attributes:
      package: path of the package among the targets.
      deltas: SHA-256 of the old package → path of the delta.
    """

    package: str
    lineage: str
    version: str
    counter: int
    sha256: str
    deltas: dict[str, str]


class Source:
    """A channel as the device sees it.

    Args:
      url: https://… or a folder.
      metadata: folder for trusted metadata; its contents are the memory against rollback.

    Raises:
      MissingDependencyError: tuf is not installed.
    """

    def __init__(self, url: str, metadata: Path, downloads: Path) -> None:
        try:
            from tuf.ngclient import Updater
        except ImportError:
            raise errors.MissingDependencyError(
                "updates need the package tuf: pip install 'edgepack[channel]'"
            ) from None
        self.url, self.metadata, self.downloads = url.rstrip("/"), metadata, downloads
        base = self.url if "://" in self.url else Path(self.url).resolve().as_uri()
        with storage_errors(downloads):
            downloads.mkdir(parents=True, exist_ok=True)
        with _translated(self.url):
            self._updater = Updater(
                str(metadata),
                f"{base}/metadata/",
                target_dir=str(downloads),
                target_base_url=f"{base}/targets/",
                fetcher=_folder_fetcher() if base.startswith("file:") else None,
                bootstrap=None,
            )

    def newest(self, lineage: str) -> Offered | None:
        """The release with the highest counter, after the metadata was brought up to date and verified.

        Raises:
          TrustError: metadata that is unsigned, expired, older than what was seen, or mixed.
          DeviceError: the channel cannot be reached.
        """
        from tuf.api.metadata import Metadata

        with _translated(self.url):
            self._updater.refresh()
            # What the client has verified and kept.
            kept: Any = Metadata.from_file(str(self.metadata / "targets.json")).signed
            targets = kept.targets
        try:
            return _newest(targets, lineage)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise errors.TrustError(
                f"{self.url}: describes its packages otherwise than a channel of edgepack ({error!r}); the current model "
                "stays"
            ) from error

    def fetch(self, path: str) -> bytes:
        """A target, its length and SHA-256 as the metadata has them.

        Raises:
          TrustError: it is not what the metadata promises.
          DeviceError: it cannot be fetched.
        """
        with _translated(self.url):
            info = self._updater.get_targetinfo(path)
            if info is None:
                raise errors.TrustError(
                    f"{self.url}: the channel has no target {path!r} any more; update again"
                )
            file = Path(self._updater.download_target(info, str(self.downloads / "target")))
        data = file.read_bytes()
        file.unlink()
        return data


def _newest(targets: Mapping[str, Any], lineage: str) -> Offered | None:
    """Of signed targets, whose descriptions only their publisher has checked."""
    mine = {
        path: file
        for path, file in targets.items()
        if file.custom and file.custom.get("kind") == "package" and file.custom.get("lineage") == lineage
    }
    if not mine:
        return None
    path, file = max(mine.items(), key=lambda item: int(item[1].custom["counter"]))
    sha256 = file.hashes["sha256"]
    deltas = {
        str(other.custom["from_sha256"]): name
        for name, other in targets.items()
        if other.custom and other.custom.get("kind") == "delta" and other.custom.get("to_sha256") == sha256
    }
    return Offered(
        package=path,
        lineage=lineage,
        version=str(file.custom["version"]),
        counter=int(file.custom["counter"]),
        sha256=sha256,
        deltas=deltas,
    )


def _folder_fetcher() -> Any:
    from tuf.api.exceptions import DownloadHTTPError
    from tuf.ngclient import FetcherInterface

    class FolderFetcher(FetcherInterface):
        """Reads file: URLs; an absent file is what a web server answers with 404."""

        def _fetch(self, url: str) -> Iterator[bytes]:
            path = Path(unquote(urlsplit(url).path))
            if not path.is_file():
                raise DownloadHTTPError(f"{path} is absent", 404)
            return self._pieces(path)

        def _pieces(self, path: Path) -> Iterator[bytes]:
            with path.open("rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece

    return FolderFetcher()


class _translated:
    """TUF's errors as ours: what cannot be reached is 69, what cannot be trusted 77."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from tuf.api import exceptions

        if isinstance(error, exceptions.DownloadLengthMismatchError | exceptions.RepositoryError):
            raise errors.TrustError(
                f"{self.url}: {_reason(error)} ({type(error).__name__}); the current model stays"
            ) from error
        if isinstance(error, exceptions.DownloadError):
            raise errors.DeviceError(
                f"{self.url}: cannot be reached: {error}; the current model stays"
            ) from error
        if isinstance(error, OSError):
            raise errors.StorageError(f"{error.filename or self.url}: {error.strerror or error}") from error


def _reason(error: BaseException) -> str:
    """What an attack, or a mistake that looks like one, is called."""
    name = type(error).__name__
    return {
        "BadVersionNumberError": "offers metadata older than what this device has seen (rollback or mixing)",
        "EqualVersionNumberError": "offers metadata older than what this device has seen (rollback or mixing)",
        "ExpiredMetadataError": "offers metadata that has expired (freeze; is this device's clock right?)",
        "UnsignedMetadataError": "offers metadata that too few trusted keys signed",
        "DownloadLengthMismatchError": "offers a file of another length than was signed",
        "LengthOrHashMismatchError": "offers a file that is not the one that was signed",
    }.get(name, f"offers metadata that cannot be trusted: {error}")
