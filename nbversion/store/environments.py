"""Environment locks: one file for each environment that a run used, under its own hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbversion.disk import FROZEN_MODE
from nbversion.errors import NotFoundError
from nbversion.hashing import digest_of
from nbversion.store.folder import CACHE, LOCKS, PRESENT_LOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbversion.store.folder import ProjectFolder

_PACKAGES_CACHE = f"{CACHE}/packages.json"


@dataclass(frozen=True, slots=True)
class Environments:
    """The environment locks of a project.

    Parameters
    ----------
    project : ProjectFolder
    """

    project: ProjectFolder

    def path(self, digest: str) -> str:
        """Return where the lock of that digest lies, relative to the root."""
        return f"{LOCKS}/{digest.removeprefix('sha256:')}.lock"

    def keep(self, lock_text: str, index_hashes: Callable[[str], str | None]) -> str:
        """Keep a lock under its own hash and make it the present one.

        Parameters
        ----------
        lock_text : str
        index_hashes : callable
            Makes the pylock.toml of a lock that is new here, or None where the hashes are not known.

        Returns
        -------
        str
            ``sha256:<64 hex>``.
        """
        disk, root = self.project.disk, self.project.root
        data = lock_text.encode()
        digest = digest_of(data)
        path = root / self.path(digest)
        if not path.exists():
            disk.create(path, data, mode=FROZEN_MODE)
            hashed = index_hashes(lock_text)
            if hashed is not None:
                disk.create(path.with_suffix(".pylock.toml"), hashed.encode(), mode=FROZEN_MODE)
        try:
            present = self.project.read(PRESENT_LOCK)
        except NotFoundError:
            present = b""
        if present != data:
            disk.replace(root / PRESENT_LOCK, data)
        return digest

    def cached(self) -> str | None:
        """Return the cached list of packages, or None."""
        try:
            return self.project.read(_PACKAGES_CACHE).decode()
        except (NotFoundError, UnicodeDecodeError):
            return None

    def cache(self, text: str) -> None:
        """Keep the list of packages for the next run."""
        self.project.disk.replace(self.project.root / _PACKAGES_CACHE, text.encode())
