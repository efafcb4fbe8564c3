import pytest

from corrlight.runs.initial import initial_digest, initial_file


def test_a_run_folder_means_its_last_checkpoint_and_a_file_itself(tmp_path):
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.write_bytes(b"weights")
    assert initial_file(tmp_path) == initial_file(str(last)) == last
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(b"weights")
    of_folder, of_copy = ({"init": str(path), "extend": None} for path in (tmp_path, copy))
    assert initial_digest(of_folder) == initial_digest(of_copy) != {}
    copy.write_bytes(b"weighty")
    assert initial_digest(of_folder) != initial_digest(of_copy)
    assert initial_digest({"init": None, "extend": None}) == {}
    assert initial_digest({"extend": str(tmp_path)}).keys() == {"extend"}


def test_what_is_neither_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"`init` to be a run folder.*has no checkpoint\.$"):
        initial_file(tmp_path)
    with pytest.raises(ValueError, match=r"`init` to be a run folder.*no file\.$"):
        initial_digest({"init": str(tmp_path / "nowhere")})
    with pytest.raises(ValueError, match=r"`extend` to be a finished run folder"):
        initial_digest({"extend": str(tmp_path)})
