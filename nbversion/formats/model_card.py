"""model_card.md: the first text of a model version's card, for people to go on with.

The head is YAML as on the Hugging Face hub, the body Markdown. The file is outside the version's
digest, because people edit it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbversion.errors import printable
from nbversion.formats.json_text import dump_inline, encode_floats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbversion.formats.run_record import RunRecord

_TO_WRITE = "_Not written yet._"


def first_model_card(
    model: str, version: str, record: RunRecord, details: Mapping[str, Any]
) -> str:
    """Return the card of a version that a run produced."""
    data = [str(one["ref"]) for one in record.data]
    evaluation = [str(one["ref"]) for one in record.eval_data]
    head = [
        "---",
        f"model_name: {dump_inline(model)}",
        f"model_version: {dump_inline(version)}",
        f"run_id: {dump_inline(record.run_id)}",
        f"datasets: {dump_inline(data)}",
        "---",
    ]
    body = [
        f"# {model} {version}",
        "",
        "## Intended use",
        "",
        _TO_WRITE,
        "",
        "## Limits",
        "",
        _TO_WRITE,
        "",
        "## Inputs",
        "",
        _TO_WRITE,
        "",
        "## Training",
        "",
        *_table(
            ("what", "value"),
            [
                ("training data", ", ".join(data) or "not declared"),
                ("evaluation data", ", ".join(evaluation) or "not declared"),
                ("run", record.run_id),
                ("code", record.code_commit or "outside git"),
                ("object", str(details.get("type", details.get("serializer", "")))),
                ("Python", str(record.env.get("python"))),
                ("environment lock", str(record.env.get("requirements_lock"))),
                ("trained by", record.owner),
                ("trained at", record.started_utc),
            ],
        ),
        "",
        "## Params",
        "",
        *_table(("name", "value"), _rows(record.params)),
        "",
        "## Metrics",
        "",
        *_table(("name", "value"), _rows(record.outputs.get("metrics") or {})),
    ]
    return "\n".join([*head, *body]) + "\n"


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, dump_inline(encode_floats(value))) for name, value in values.items()]


def _table(columns: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return ["_None._"]
    lines = [columns, ("---", "---"), *((_cell(name), _cell(value)) for name, value in rows)]
    return [f"| {name} | {value} |" for name, value in lines]


def _cell(text: str) -> str:
    """Return text that stays in its cell, is no markup there and drives no terminal."""
    text = printable(" ".join(text.split()))
    for char in "\\`*_{}[]<>|":
        text = text.replace(char, f"\\{char}")
    return text
