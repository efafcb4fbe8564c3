import pytest

from corrlight.predict.sources import find_sources


def names(*named, listed=()):
    return [source.name for source in find_sources([str(n) for n in named], listed)[0]]


def test_a_folder_with_those_inside(shots):
    assert names(shots) == ["a.jpg", "b.png", "more/c.bmp"]
    assert find_sources([str(shots)])[1] == 1  # the text; hidden files are not counted


def test_files_and_patterns(shots):
    assert names(shots / "b.png") == ["b.png"]
    assert names(shots / "*.*g") == ["a.jpg", "b.png"]
    assert names(shots / "**" / "*.bmp") == ["c.bmp"]
    assert names(shots / "mor?") == ["c.bmp"]
    assert names(shots / "notes.txt") == ["notes.txt"]  # named itself: tried


def test_each_picture_once(shots):
    assert names(shots / "b.png", shots, shots / "*.png") == ["b.png", "a.jpg", "more/c.bmp"]


def test_equal_names_of_two_folders_stay_apart(shots, tmp_path):
    (tmp_path / "a.jpg").write_bytes((shots / "a.jpg").read_bytes())
    found = names(shots / "a.jpg", tmp_path / "a.jpg")
    assert len(set(found)) == 2
    assert all(name.endswith("/a.jpg") and not name.startswith("/") for name in found)


def test_a_list_on_standard_input(shots):
    listed = [f"{shots}/b.png\n", "\n", f" {shots}/gone.png\n"]
    assert names("-", listed=listed) == ["b.png", "gone.png"]


def test_a_name_with_brackets_is_a_file_where_there_is_one(shots, tmp_path):
    file = tmp_path / "shot[1].jpg"
    file.write_bytes((shots / "a.jpg").read_bytes())
    assert names(file) == ["shot[1].jpg"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("gone.png", "there is no 'gone.png'"),
        ("gone*.png", "none matches 'gone\\*.png'"),
        ("-", "standard input"),
        ("", "there is no ''"),
    ],
)
def test_nothing_is_named(named, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        find_sources([named])


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="folder with pictures or videos"):
        find_sources([str(tmp_path)])
