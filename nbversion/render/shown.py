"""The mixin that lets an object display itself in a terminal and in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from nbversion.render.html import card_html
from nbversion.render.text import card_text

if TYPE_CHECKING:
    from collections.abc import Container

    from nbversion.render.card import Card


class Shown(ABC):
    """Base of every object that a user sees as the last value of a cell.

    A subclass gives `card`; the representations follow from it. It adds no instance attribute, so
    a slotted dataclass can have it as its base, with ``@dataclass(repr=False)``: the dataclass
    decorator writes its own ``__repr__`` over an inherited one otherwise.
    """

    __slots__ = ()

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints; the keys are promised in the documentation."""

    @abstractmethod
    def card(self) -> Card:
        """Return what a reader is to see of this object; cheap, and without side effects."""

    def __repr__(self) -> str:
        return card_text(self.card())

    def _repr_html_(self) -> str:
        return card_html(self.card())

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        # IPython passes the types that a front end wants and those that it cannot show.
        card = self.card()
        bundle = {}
        for mime, render in (("text/plain", card_text), ("text/html", card_html)):
            wanted = include is None or mime in include
            if wanted and not (exclude is not None and mime in exclude):
                bundle[mime] = render(card)
        return bundle
