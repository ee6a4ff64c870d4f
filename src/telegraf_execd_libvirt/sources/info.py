"""Info lines: one line with the value 1 and what is known about a domain or a device as tags.

Prometheus keeps numbers only, and joins such a line to others by their common tags.

Invariant: they cost no call beside the list of domains and the XML, which is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.inventory import INVENTORY, NUMBERS
from ..domain.record import Domain
from ..groups.schema import Metric, Type, info
from .source import MINUTE, Scope, Source

_CALLS = "one to list the domains; the XML of a new or changed domain, kept for 10 minutes"


def info_source(name: str, of: str, help: str) -> Source:
    """The source of the info lines of one kind of INVENTORY; ``of`` says whose."""

    def fetch(scope: Scope) -> Iterator[Domain]:
        for handle in scope.domains(hung=True):
            for tags in scope.inventory(handle, name):
                yield scope.domain(handle, name, {"value": 1}, **tags)

    number = [NUMBERS[name]] if name in NUMBERS else []
    return Source(
        name=name,
        summary=f"tags of {of}: one line each",
        reads=f"what is known about {of}, as tags of one line each",
        calls=_CALLS,
        empty="" if of == "domains" else f"no domain has {of} in its XML",
        new=lambda: fetch,
        interval=MINUTE,
        inventory=(name,),
        metrics=(
            Metric(
                prefix=name,
                extra_tags=(*number, *INVENTORY[name]),
                help=f"{help}; [the tags](#info-lines) say what it is",
                fields=(info("value", "", "always 1", Type.INT),),
            ),
        ),
    )
