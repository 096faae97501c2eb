"""nbversion.yaml: settings of a project; every key has a default."""

from __future__ import annotations

from dataclasses import dataclass

from nbversion.formats.fields import SCHEMA_VERSION, Fields
from nbversion.formats.yaml_text import parse_yaml

SETTINGS = "nbversion.yaml"
# What a desktop or a notebook server drops into any folder, and what git keeps for itself.
DEFAULT_IGNORE = (".DS_Store", ".git", ".ipynb_checkpoints", "Thumbs.db", "__pycache__")

TEMPLATE = f"""\
# Settings of this nbversion project. Every key has a default; this file marks the project's root.
schema_version: {SCHEMA_VERSION}

# Who is named as the owner of what is frozen here. Default: git's user.name, else the login name.
# owner: "Ada Lovelace"

# Names that a snapshot of a folder leaves out, at any depth; what was left out is recorded.
# ignore: [{", ".join(f'"{name}"' for name in DEFAULT_IGNORE)}]
""".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What nbversion.yaml says.

    Parameters
    ----------
    owner : str or None
        None to ask git, then the system.
    ignore : tuple of str
        File and folder names that a snapshot leaves out.
    """

    owner: str | None = None
    ignore: tuple[str, ...] = DEFAULT_IGNORE


def parse_settings(data: bytes, where: str) -> Settings:
    """Parse the settings; keys that this version does not know are left alone.

    Raises
    ------
    FormatError
        When the text is not YAML or a key has the wrong type.
    """
    lines = (line.strip() for line in data.splitlines())
    if all(not line or line.startswith(b"#") for line in lines):
        # Every key has a default, so a file without any is fine: it marks the project's root.
        return Settings()
    fields = Fields(where, parse_yaml(data, where, text_at=(("owner",),)))
    fields.check_schema()
    is_default = fields.values.get("ignore") is None
    ignore = DEFAULT_IGNORE if is_default else fields.texts("ignore")
    return Settings(owner=fields.optional("owner"), ignore=ignore)
