"""XML without document types."""

from xml.etree import ElementTree

import pytest

from corrlight.datasets.records import RecordError
from corrlight.datasets.xml_files import read_xml


def test_reads_what_the_standard_library_reads(tmp_path):
    text = '<?xml version="1.0" encoding="latin-1"?><a x="1">t&amp;u<b>\xe9</b>tail<!-- c --></a>'
    (tmp_path / "a.xml").write_bytes(text.encode("latin-1"))
    ours, theirs = read_xml(tmp_path / "a.xml"), ElementTree.parse(tmp_path / "a.xml").getroot()
    assert ElementTree.tostring(ours) == ElementTree.tostring(theirs)
    assert ours.findtext("b") == "\xe9"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no XML"),
        (b"<a>", "it is no XML"),
        (b"<a/><b/>", "it is no XML"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "it is no XML"),
        (b'<!DOCTYPE a [<!ENTITY l "ha"><!ENTITY m "&l;&l;">]><a>&m;</a>', "document type"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
    ],
)
def test_refuses(tmp_path, content, said):
    (tmp_path / "a.xml").write_bytes(content)
    with pytest.raises(RecordError, match=said):
        read_xml(tmp_path / "a.xml")


def test_missing_file(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        read_xml(tmp_path / "a.xml")
