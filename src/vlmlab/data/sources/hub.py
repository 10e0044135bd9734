"""Files of the Hugging Face hub, fetched when they are first needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlmlab.errors import DataError

PREFIX = "hf://datasets/"


@dataclass(frozen=True, slots=True)
class HubPath:
    """hf://datasets/OWNER/NAME[@REVISION]/PATH, taken apart."""

    repository: str
    revision: str
    path: str


def parse_hub_path(text: str, *, where: str) -> HubPath:
    """Take a hub path apart.

    >>> parse_hub_path("hf://datasets/a/b@main/data/*.parquet", where="x")
    HubPath(repository='a/b', revision='main', path='data/*.parquet')
    """
    pieces = text.removeprefix(PREFIX).split("/", 2)
    if len(pieces) < 3 or not all(pieces):
        raise DataError(where, f"{text} is no hub path; expected {PREFIX}OWNER/NAME[@REVISION]/PATH")
    owner, name, path = pieces
    name, _, revision = name.partition("@")
    return HubPath(f"{owner}/{name}", revision, path)


def fetch_hub(
    repository: str, *, kind: Literal["dataset", "model"], revision: str, patterns: Sequence[str], where: str
) -> Path:
    """The folder of a repository's files that match `patterns`; from the cache where they are there already.

    Raises DataError where the hub cannot be reached or knows no such repository or revision.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    pinned = f"revision {revision}" if revision else "the newest revision"
    try:
        folder = snapshot_download(repository, repo_type=kind, revision=revision or None, allow_patterns=list(patterns))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        raise DataError(
            where,
            f"{repository} ({pinned}) is not in the local cache and the hub cannot be reached; "
            f"connect once, or download it and give the folder's path",
        ) from error
    except HFValidationError as error:
        raise DataError(where, f"{repository} is no name of a hub repository; expected OWNER/NAME ({error})") from error
    except HfHubHTTPError as error:
        raise DataError(
            where, f"the hub refused {repository} ({pinned}): {error}; check the name, the revision and your access"
        ) from error
    return Path(folder)
