"""A project below the home folder, and runs in it without a notebook."""

from __future__ import annotations

import pytest

from nbversion import tracking
from nbversion.capture import packages
from nbversion.project import Project


@pytest.fixture(autouse=True)
def home(isolated, tmp_path, monkeypatch):
    """Return the home folder, which projects lie below."""
    folder = tmp_path / "home"
    folder.mkdir()
    # Output that is written at once hides what happens when the rest is flushed at the end.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    # What is installed here is tested elsewhere, and costs 100 ms for each project.
    monkeypatch.setattr(packages, "_folders", lambda search_path: [])
    return folder


@pytest.fixture
def project(home, monkeypatch):
    """Return an empty project, which is the working directory too."""
    root = home / "proj"
    root.mkdir()
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def freeze(project):
    """Return a function that freezes a text as the next version of a data set."""

    def freeze(name="iris", text="a,b\n1,2\n", **options):
        source = project.root / f"{name}.csv"
        source.write_text(text)
        return project.snapshot(source, name=name, **options)

    return freeze


@pytest.fixture
def train(project):
    """Return a function that makes a run, and with a model registers its next version."""

    def train(name="iris", *, data=(), model=None, value=None, outputs=(), source="fit()", **more):
        catalog = project.catalog
        find = [catalog.resolve_data(one, here=project.root) for one in data]
        tracker = tracking.Tracker(
            catalog=catalog,
            request=tracking.RunRequest(
                name=name,
                data=tuple(find),
                model=model,
                version=more.get("version"),
                outputs=tuple((one, project.root / path) for one, path in outputs),
            ),
            code=tracking.CodeFacts(source=source),
        )
        tracker.begin()
        for key, one in more.get("params", {}).items():
            tracker.log_param(key, one)
        for key, one in more.get("metrics", {}).items():
            tracker.log_metric(key, one)
        results = tracking.Results(model=value or {"weights": name}, has_model=model is not None)
        run = tracker.end(results)
        assert results.problems == []
        return run.record

    return train
