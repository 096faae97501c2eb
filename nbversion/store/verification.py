"""What ``%verify`` found, what ``--repair`` did about it, and the sums that it went by."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbversion.errors import printable
from nbversion.render.amounts import human_count, human_seconds, human_size, short
from nbversion.render.card import Card, Table
from nbversion.render.shown import Shown

if TYPE_CHECKING:
    from nbversion.store.findings import Explained

_SHOWN = 50
_EXPLAINED = 12
_ABOUT_SUMS = (
    "These are the sums that the records state; nothing was hashed. Check them from the project "
    "folder with: nbversion verify --sums | shasum -a 256 -c"
)
_MANY_ABSENT = (
    "The bytes of {count} versions and runs are not in this copy of the project, only the texts that "
    "name them, as in a fresh clone: whoever froze them has them. What was frozen here is lost. Next: "
    "copy the folders from the machine that froze them, then: %verify --repair --from COPY"
)
_COLUMNS = ("kind", "of", "path", "expected", "got")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What ``--repair`` did about one file.

    Parameters
    ----------
    ref : str
        What the file belongs to.
    path : str
        Relative to the root.
    source : str or None
        Where the verified copy came from; None when the file was not put back.
    quarantined : str or None
        Where the bytes that were there lie now, relative to the root.
    reason : str
        Why it was not put back; empty when it was.
    """

    ref: str
    path: str
    source: str | None = None
    quarantined: str | None = None
    reason: str = ""

    def to_json(self) -> dict[str, str | None]:
        """Return the file, where its bytes came from and where the old ones went."""
        told: dict[str, str | None] = {"ref": self.ref, "path": self.path}
        if self.source is not None:
            told["from"] = self.source
        else:
            told["reason"] = self.reason
        return {**told, "quarantined": self.quarantined}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verification(Shown):
    """What ``%verify`` found; after a repair, what it found then.

    Parameters
    ----------
    references : tuple of str
        What was asked; empty for the whole project.
    findings : tuple of Explained
    checked : tuple of str
        What was looked at, by reference.
    files, size_bytes : int
        How much was hashed.
    seconds : float
    complete : bool
        Whether bytes that are only elsewhere count too.
    repairs : tuple of Repair
        What was tried; empty when no repair was asked for or none was needed.
    """

    references: tuple[str, ...]
    findings: tuple[Explained, ...]
    checked: tuple[str, ...]
    files: int
    size_bytes: int
    seconds: float
    complete: bool = False
    repairs: tuple[Repair, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing was found; what is only elsewhere counts with `complete`."""
        return all(one.kind == "absent" and not self.complete for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the promised keys, and how much was hashed."""
        return {
            "holds": self.holds,
            "findings": [one.to_json() for one in self.findings],
            "repaired": [one.to_json() for one in self.repairs if one.source is not None],
            "not_repaired": [one.to_json() for one in self.repairs if one.source is None],
            "checked": list(self.checked),
            "files": self.files,
            "size_bytes": self.size_bytes,
            "seconds": self.seconds,
        }

    def card(self) -> Card:
        """Return the verification for people."""
        # Registries and locks come with what names them; their paths would be most of the line.
        seen = [one for one in self.checked if "/" not in one] or self.checked
        took = human_seconds(self.seconds)
        amount = f"{human_count(self.files, 'file')}, {human_size(self.size_bytes)} in {took}"
        return Card(
            title="Verified " + (", ".join(self.references) or "the whole project"),
            badge=self._badge(),
            fields=(
                ("Looked at", ", ".join(seen[:12]) + (" …" if seen[12:] else "")),
                ("Hashed", amount),
                ("Findings", self._counted()),
            ),
            tables=tuple(one for one in (*self._repair_tables(), self._findings()) if one.rows),
            notes=(*self._explanations(), *self._closing()),
        )

    def _badge(self) -> str:
        if not self.holds:
            return "broken"
        return "incomplete" if self.findings else "verified"

    def _counted(self) -> str:
        kinds = [one.kind for one in self.findings]
        told = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
        return ", ".join(told) or "none"

    def _findings(self) -> Table:
        rows = tuple(
            (one.kind, one.ref, one.path, _brief(one.expected), _brief(one.got))
            for one in self.findings[:_SHOWN]
        )
        return Table(title="Findings", columns=_COLUMNS, rows=rows)

    def _repair_tables(self) -> tuple[Table, Table]:
        done = [one for one in self.repairs if one.source is not None]
        failed = [one for one in self.repairs if one.source is None]
        return (
            Table(
                title="Put back, verified",
                columns=("path", "from", "what was there lies at"),
                rows=tuple(
                    (one.path, str(one.source), one.quarantined or "") for one in done[:_SHOWN]
                ),
            ),
            Table(
                title="Not put back",
                columns=("path", "why", "what was there lies at"),
                rows=tuple(
                    (one.path, one.reason, one.quarantined or "") for one in failed[:_SHOWN]
                ),
            ),
        )

    def _explanations(self) -> list[str]:
        """Return what the findings mean and what to do, each thing once."""
        absent = [one for one in self.findings if one.kind == "absent"]
        others = [one for one in self.findings if one.kind != "absent" or len(absent) == 1]
        told = dict.fromkeys(
            f"{one.ref} ({one.kind}): {one.meaning} Next: {one.advice}" for one in others
        )
        notes = list(told)[:_EXPLAINED]
        if len(absent) > 1:
            # Of a fresh clone there is the same to say of everything.
            notes.insert(0, _MANY_ABSENT.format(count=len(absent)))
        if len(told) > len(notes):
            notes.append(f"{len(told) - len(notes)} more to do; see all with --json.")
        return notes

    def _closing(self) -> list[str]:
        notes = []
        if not self.checked:
            notes.append("There is nothing to verify in this project: is it the right folder?")
        if len(self.findings) > _SHOWN:
            notes.append(f"{len(self.findings) - _SHOWN} more findings; see all with --json.")
        if self.repairs:
            told = "Everything was hashed again after the repair."
            if any(one.quarantined for one in self.repairs):
                told += " What was moved aside is kept, with a record of where it lay."
            notes.append(told)
        elif self.findings:
            notes.append("Nothing was changed.")
        return notes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Sums(Shown):
    """The SHA-256 that every file should have, as ``shasum -c`` reads it.

    Parameters
    ----------
    references : tuple of str
        What was asked; empty for the whole project.
    sums : tuple of (str, str)
        SHA-256 and path relative to the root.
    """

    references: tuple[str, ...]
    sums: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the sums as a list."""
        return {"sums": [{"sha256": sha256, "path": path} for sha256, path in self.sums]}

    def __str__(self) -> str:
        lines = [_sum_line(sha256, path) for sha256, path in self.sums]
        # A pipe gets every name byte for byte; a name must not drive a terminal.
        show = printable if sys.stdout.isatty() else str
        return "\n".join(show(one) for one in lines)

    def card(self) -> Card:
        """Return the sums for people."""
        return Card(
            title="Sums of " + (", ".join(self.references) or "the whole project"),
            fields=(("Files", str(len(self.sums))),),
            tables=(Table(title="Expected", columns=("sha256", "path"), rows=self.sums[:_SHOWN]),),
            notes=(_ABOUT_SUMS,),
        )


def _sum_line(sha256: str, path: str) -> str:
    if "\\" not in path and "\n" not in path:
        return f"{sha256}  {path}"
    # As GNU's and Perl's tools escape a name, which a leading backslash announces.
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n")
    return f"\\{sha256}  {escaped}"


def _brief(text: str) -> str:
    head, space, tail = text.partition("sha256 ")
    return f"{head}{space}{short(tail)}…" if space and len(tail) == 64 else text
