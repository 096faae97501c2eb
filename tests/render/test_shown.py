from __future__ import annotations

from dataclasses import dataclass

import pytest

from nbversion.render.card import Card
from nbversion.render.html import card_html
from nbversion.render.shown import Shown
from nbversion.render.text import card_text


@dataclass(frozen=True, slots=True, repr=False)
class Version(Shown):
    name: str

    def to_json(self):
        return {"name": self.name}

    def card(self):
        return Card(title=self.name, badge="dev")


def test_an_object_displays_its_card():
    version = Version("iris <b>")
    assert repr(version) == card_text(version.card()) == "iris <b>  [dev]"
    assert version._repr_html_() == card_html(version.card())
    bundle = version._repr_mimebundle_()
    assert bundle == {"text/plain": repr(version), "text/html": version._repr_html_()}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, {"text/html"}, ["text/plain"]),
        (["text/html"], None, ["text/html"]),
        ({"image/png"}, None, []),
        (["text/html"], ["text/html"], []),
    ],
)
def test_a_front_end_gets_the_types_it_asks_for(include, exclude, expected):
    bundle = Version("v")._repr_mimebundle_(include=include, exclude=exclude)
    assert list(bundle) == expected


def test_the_mixin_adds_no_instance_dictionary():
    assert not hasattr(Version("v"), "__dict__")


def test_a_class_without_a_card_cannot_be_made():
    class Empty(Shown):
        pass

    with pytest.raises(TypeError, match="card"):
        Empty()
