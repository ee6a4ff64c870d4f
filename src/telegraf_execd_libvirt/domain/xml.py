"""What is read from libvirt's XML, safely: attributes, and applications' metadata.

Invariant: libvirt never writes a document type. XML with one is rejected before any of its entities
can expand. One rule reads the metadata of all applications: a path names elements from a child of
``<metadata>`` down; that child has the namespace, and the elements below it the same one or none.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Callable, NamedTuple, Optional

PATH_FORMAT = (
    'element names without prefix, separated by "/", and optionally "/@attribute", such as '
    '"instance/owner/project/@uuid"'
)

_NAME = r"[^\W\d][\w.\-]*"
_PATH = re.compile(rf"{_NAME}(/{_NAME})*(/@{_NAME})?")

#: Characters that would break a value into lines; XML allows no other control characters.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Longest value, in characters.
MOST_CHARACTERS = 256

#: From an element of a domain's XML to the value of a tag: None or empty for what is not there.
Source = Callable[[ET.Element], Optional[str]]


class _Builder(ET.TreeBuilder):
    def doctype(self, name: str, public: str, system: str) -> None:
        raise ValueError("the domain's XML has a document type")


def parse_xml(xml: str) -> ET.Element:
    """Return the root element; raise ValueError for XML that is broken or has a document type."""
    try:
        return ET.fromstring(xml, ET.XMLParser(target=_Builder()))
    except ET.ParseError as error:
        raise ValueError(f"the domain's XML cannot be read: {error}") from None


def attribute(element: ET.Element, path: str, name: str) -> Optional[str]:
    """An attribute of the first element at this path below an element, or None."""
    found = element.find(path)
    return None if found is None else found.get(name)


def text_of(path: str) -> Source:
    """A source that reads the text of the first element at this path."""
    return lambda element: element.findtext(path)


def attribute_of(path: str, name: str) -> Source:
    """A source that reads an attribute of the first element at this path."""
    return lambda element: attribute(element, path, name)


class MetadataTag(NamedTuple):
    """One ``[[inputs.libvirt.metadata_tags]]`` table: where a value is, and the name of its tag."""

    namespace: str
    path: str
    tag: str


def is_path(text: str) -> bool:
    """Whether a text has the form of a path."""
    return _PATH.fullmatch(text) is not None


def metadata(root: ET.Element, namespace: str, path: str) -> str:
    """The first value of a path in a domain's XML that is not empty; "" if there is none."""
    names, _, attribute = path.partition("/@")
    first, *below = names.split("/")
    elements = [
        element
        for element in root.iterfind("metadata/*")
        if element.tag == f"{{{namespace}}}{first}"
    ]
    for name in below:
        tags = (f"{{{namespace}}}{name}", name)
        elements = [child for element in elements for child in element if child.tag in tags]
    values = (
        element.get(attribute) or element.get(f"{{{namespace}}}{attribute}")
        if attribute
        else element.text
        for element in elements
    )
    return next(filter(None, map(clean, values)), "")


def clean(text: Optional[str]) -> str:
    """A text as the value of a tag: one line, without space around it, cut to 256 characters."""
    return _CONTROLS.sub(" ", text or "").strip()[:MOST_CHARACTERS].rstrip()


def filled(values: Mapping[str, Optional[str]]) -> dict[str, str]:
    """The values as texts of one line, without the empty ones."""
    return {name: text for name, value in values.items() if (text := clean(value))}
