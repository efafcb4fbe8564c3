import logging
import os
import shutil
import subprocess
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from corrlight.engine.checksums import (
    check_intact,
    digest_file,
    move_digest,
    sha256_of,
    write_digest,
)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "x.ckpt"
    torch.save({"w": torch.arange(1000.0)}, file)
    return file


def _damage(path):
    data = bytearray(path.read_bytes())
    data[data.index(torch.tensor(500.0).numpy().tobytes())] ^= 1
    path.write_bytes(data)


def test_the_checksums_of_an_archive_find_what_torch_does_not(path):
    check_intact(path)
    _damage(path)
    assert not torch.equal(torch.load(path)["w"], torch.arange(1000.0))
    with pytest.raises(ValueError, match=r"its record data/0 is damaged \(its checksum differs\)"):
        check_intact(path)


def test_the_digest_is_what_sha256sum_reads(path):
    write_digest(path, sha256_of(path))
    if shutil.which("sha256sum") is not None:
        command = ["sha256sum", "-c", "x.ckpt.sha256"]
        assert subprocess.run(command, cwd=path.parent, check=False).returncode == 0
    assert digest_file(path).read_text() == f"{sha256_of(path)}  x.ckpt\n"


def test_an_equal_digest_is_enough(path, monkeypatch):
    write_digest(path, sha256_of(path))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    check_intact(path)


@pytest.mark.parametrize("text", ["", "no digest", f"{'0' * 64}  x.ckpt", "é"])
def test_a_digest_of_another_save_does_not_refuse_a_good_file(path, text, caplog):
    digest_file(path).write_text(text)
    with caplog.at_level(logging.INFO, "corrlight"):
        check_intact(path)
    assert ("x.ckpt.sha256 is of another file" in caplog.text) == text.startswith("0")
    _damage(path)
    with pytest.raises(ValueError, match="checksum differs"):
        check_intact(path)


def test_files_without_checksums_are_compared_with_a_digest_alone(tmp_path, path, caplog):
    plain = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(3)}, plain)
    check_intact(plain)
    write_digest(plain, sha256_of(plain))
    check_intact(plain)
    plain.write_bytes(plain.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=r"its sha256 is not the one in x\.safetensors\.sha256"):
        check_intact(plain)

    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.ones(3)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    with caplog.at_level(logging.INFO, "corrlight"):
        check_intact(path)
    assert "was saved without checksums" in caplog.text


def test_an_archive_that_was_packed_anew_is_intact(tmp_path, path):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path / "unpacked")  # with folders
    check_intact(tmp_path / "again.zip")


def test_a_digest_goes_with_its_file_but_not_an_older_one(path):
    other = path.with_name("y.ckpt")
    other.write_bytes(path.read_bytes())
    write_digest(path, sha256_of(path))
    move_digest(path, other)
    assert digest_file(other).read_text() == f"{sha256_of(path)}  y.ckpt\n"
    os.utime(digest_file(path), (0, 0))
    move_digest(path, other)
    assert not digest_file(other).exists()
