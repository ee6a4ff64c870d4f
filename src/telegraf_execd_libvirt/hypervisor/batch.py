"""Parts of a tick: one request and its repeats, and a domain that came and is not written yet.

Invariant: data only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..connection.requests import BatchRequest, ListRequest, Request, XmlRequest
from ..domain.record import Domain

#: Domains in one batch. Larger batches need more memory, smaller ones more calls.
BATCH = 100


def asks_all(request: Request) -> bool:
    """Whether a request is about all domains, so that the lock of one delays it."""
    is_batch = isinstance(request, BatchRequest) and request.names is None
    return is_batch or isinstance(request, ListRequest)


@dataclass(eq=False)
class Batch:
    """One request and its repeats; ``retry``: for domains that came incomplete."""

    request: Request
    retry: bool = False
    repeats: int = 0
    failures: int = 0
    done: bool = False

    def __post_init__(self) -> None:
        self.for_xml = isinstance(self.request, XmlRequest)
        self.lists = isinstance(self.request, ListRequest)
        #: Whether it brings domains for the first time.
        self.has_statistics = isinstance(self.request, BatchRequest) and not self.retry

    @property
    def for_all(self) -> bool:
        """Whether its next request is about all domains."""
        return asks_all(self.request)

    @property
    def names(self) -> Sequence[str]:
        return (isinstance(self.request, BatchRequest) and self.request.names) or ()


@dataclass
class Held:
    """A domain that waits for its keys (``incomplete``) or its identity, and when it was asked."""

    domain: Domain
    asked: float
    incomplete: bool
