"""What a magic does in a running kernel, without the kernel: one process that stays.

Reads one request a line from standard input, does it through `nbversion.Project` and answers with
the seconds that it took and what the record says.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from nbversion import Project


def answer(project: Project, words: list[str]) -> dict[str, object]:
    """Do one verb and show its record, as a cell would."""
    begun = time.perf_counter()
    if words[0] == "snapshot":
        record = project.snapshot(words[1], name=words[2])
    else:
        record = project.verify(*words[1:])
    shown = str(record)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "shown": len(shown), "record": _short(record.to_json())}


def _short(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if not isinstance(value, list)} | {
        "findings": record.get("findings", [])
    }


def main() -> None:
    """Warm up on a file of our own, then serve."""
    with tempfile.TemporaryDirectory() as folder:
        other = Project.init(folder)
        (Path(folder) / "one.txt").write_text("one", encoding="utf-8")
        other.snapshot(f"{folder}/one.txt", name="one")
        str(other.verify())
    project = Project.find()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        try:
            said = answer(project, json.loads(line))
        except Exception as exc:  # noqa: BLE001  # the table shows it
            said = {"problem": f"{type(exc).__name__}: {exc}"}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


main()
