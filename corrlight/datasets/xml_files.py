"""XML files of strangers: elements and text, without document types and so without entities."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from corrlight.datasets.records import RecordError

__all__ = ["read_xml"]


def read_xml(path: Path) -> Element:
    """Return the root element of a file.

    A document type is refused: annotation files have none, and entities declared there can grow
    without limit or name other files.

    Raises:
        RecordError: The file cannot be read, is no XML, or has a document type.
    """
    builder = TreeBuilder()
    parser: Any = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
        root: Element = builder.close()
    except OSError as error:
        raise RecordError(f"it cannot be read ({error.strerror})") from None
    except expat.ExpatError as error:
        raise RecordError(f"it is no XML ({error})") from None
    except LookupError as error:  # an encoding that Python does not know
        raise RecordError(f"it is no XML ({error})") from None
    return root


def _refuse(*_: Any) -> NoReturn:
    raise RecordError("it has a document type, which annotation files have not")
