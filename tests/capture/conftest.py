"""Folders of installed distributions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbversion.capture.environment import read_environment


@pytest.fixture
def install():
    """Return a function that writes what an installer leaves of one distribution."""

    def write(
        site, name, version, origin=None, *, suffix=".dist-info", metadata=None, installer=""
    ):
        folder = Path(site, f"{name.replace('-', '_')}-{version}{suffix}")
        folder.mkdir(parents=True)
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n"
        file = folder / ("METADATA" if suffix == ".dist-info" else "PKG-INFO")
        file.write_bytes(metadata.encode())
        if origin is not None:
            text = origin if isinstance(origin, str) else json.dumps(origin)
            (folder / "direct_url.json").write_text(text)
        if installer:
            (folder / "INSTALLER").write_text(f"{installer}\n")
        return folder

    return write


@pytest.fixture
def read():
    """Return a function that reads the environment of some folders."""

    def of(*sites, **options):
        return read_environment(search_path=[str(site) for site in sites], **options)[0]

    return of
