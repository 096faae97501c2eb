"""Two real kernels promote one model at once, fifty times each, with a lock and with none."""

from __future__ import annotations

import pytest

from nbversion.formats.registry import problems
from nbversion.project import Project
from nbversion.store.models import ModelContent
from nbversion.store.promotion import Signature, plan_register

ROUNDS = 50
VERSIONS = ("v0.1.0", "v0.2.0")
NO_LOCK = """
import contextlib
from nbversion.present import present_project
disk = present_project().catalog.project.disk
disk.lock_factory = lambda path, timeout: contextlib.nullcontext()
"""


def two_versions(root) -> None:
    catalog = Project(root).catalog
    for at, version in enumerate(VERSIONS):
        content = ModelContent(
            items={"model.pkl": bytes([at])},
            metrics={},
            params={},
            run_id=None,
            details={"serializer": "file"},
            card=lambda _: "",
        )
        frozen = catalog.models.freeze("m", content, version=version, registry=None)
        catalog.registrar.commit(
            "m",
            lambda registry, frozen=frozen: plan_register(
                registry,
                frozen.manifest.version,
                Signature(actor="a", utc="2026-01-01T00:00:00Z"),
                digest=frozen.manifest.digest,
                run_id=None,
            ),
        )


def wait_for(kernel, sent) -> dict:
    while True:
        reply = kernel.client.get_shell_msg(timeout=120)
        if reply["parent_header"].get("msg_id") == sent:
            return reply["content"]


@pytest.mark.parametrize("lock", ["a lock", "a lock that always says yes"])
def test_two_kernels_promoting_at_once_lose_nothing(two_kernels, root, lock):
    two_versions(root)
    kernels = two_kernels
    if lock != "a lock":
        for kernel in kernels:
            assert kernel.run(NO_LOCK).status == "ok"
    sent = [
        kernel.client.execute(
            # Each waits for the other, so that they really are at it at once.
            "from pathlib import Path\n"
            f"Path('ready-{at}').touch()\n"
            f"while not Path('ready-{1 - at}').exists(): pass\n"
            f"for _ in range({ROUNDS} // 2):\n"
            f"    %promote m {VERSIONS[at]} production\n"
            f"    %promote m {VERSIONS[1 - at]} production\n"
        )
        for at, kernel in enumerate(kernels)
    ]
    answers = [wait_for(kernel, one) for kernel, one in zip(kernels, sent, strict=True)]

    assert [one["status"] for one in answers] == ["ok", "ok"], answers
    registry = Project(root).catalog.registrar.load("m")
    assert problems(registry) == []
    assert [one.revision for one in registry.history] == list(range(1, registry.revision + 1))
    assert len({one.op_id for one in registry.history}) == registry.revision
    assert sum(one.stage == "production" for one in registry.versions) == 1
    # A promotion of what serves already writes nothing; every other call is one entry.
    assert registry.revision > ROUNDS
