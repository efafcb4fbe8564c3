import json
import struct
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from corrlight.predict import command
from corrlight.predict.command import main
from corrlight.predict.video import Frame, read_frames

SKIP = "needs the video extra (av)"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Six grey frames of 96 x 64, ten a second, each brighter than the last."""
    av = pytest.importorskip("av", reason=SKIP)
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(6):
            grey = np.full((64, 96, 3), 40 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_in_order(clip):
    frames = list(read_frames(clip))
    assert [f.number for f in frames] == list(range(6))
    assert [f.seconds for f in frames] == pytest.approx([k / 10 for k in range(6)])
    assert [f.pixels.mean() for f in frames] == pytest.approx([40 * k for k in range(6)], abs=3)


def test_a_phone_held_upright(clip, tmp_path):
    data = bytearray(clip.read_bytes())
    matrix = data.find(b"tkhd") + 44  # a quarter turn clockwise
    struct.pack_into(">9i", data, matrix, 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "t.mp4").write_bytes(data)
    assert next(read_frames(tmp_path / "t.mp4")).pixels.shape == (96, 64, 3)


def test_the_command(run, clip, tmp_path):
    out = tmp_path / "out"
    assert main([str(clip), "--run", str(run), "--out", str(out)]) == 0
    images = json.loads((out / "images.json").read_text())["images"]
    assert [(i["id"], i["frame"], i["path"]) for i in images] == [
        (k + 1, k, str(clip)) for k in range(6)
    ]
    assert images[3]["seconds"] == pytest.approx(0.3)
    assert images[3]["picture"] == "pictures/clip.mp4/000003.jpg"
    assert all((out / i["picture"]).is_file() for i in images)
    made = list(read_frames(out / "videos" / "clip.mp4.mp4"))
    assert [f.pixels.shape for f in made] == [(64, 96, 3)] * 6
    assert [f.seconds for f in made] == pytest.approx([k / 10 for k in range(6)])


def test_cut_and_broken_videos_are_counted_and_named(run, clip, tmp_path):
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:-8])
    (tmp_path / "text.mp4").write_text("no video")
    out = tmp_path / "out"
    named = [str(tmp_path / name) for name in ("cut.mp4", "text.mp4")]
    assert main([*named, "--run", str(run), "--out", str(out), "--no-pictures"]) == 1
    images = json.loads((out / "images.json").read_text())
    cut, text = (s["reason"] for s in images["skipped"])
    lost = 6 - len(images["images"])
    assert lost > 0
    assert cut == f"{lost} of 6 frames of {named[0]} cannot be read"
    assert text.startswith(f"Expected a video, but {named[1]} cannot be read")


def test_without_the_extra_one_line_names_it(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"")
    out = tmp_path / "out"
    assert main([str(tmp_path / "clip.mp4"), "--run", str(run), "--out", str(out)]) == 2
    assert "pip install 'corrlight[video]'" in capsys.readouterr().err
    assert not out.exists()


def test_without_the_extra_videos_among_pictures_are_left_out(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    folder = tmp_path / "shots"
    folder.mkdir()
    Image.new("RGB", (48, 40)).save(folder / "a.png")
    (folder / "clip.mp4").write_bytes(b"")
    out = tmp_path / "out"
    assert main([str(folder), "--run", str(run), "--out", str(out), "--no-pictures"]) == 0
    assert "Videos left out: 1. pip install 'corrlight[video]'" in capsys.readouterr().err
    images = json.loads((out / "images.json").read_text())
    assert [image["file_name"] for image in images["images"]] == ["a.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_clip_that_is_not_finished_leaves_nothing(run, tmp_path, monkeypatch, error):
    """The last file of all: everything else is written by then."""
    written = []

    def fails(clip, path):
        written.extend(file for _, file in clip.pictures)
        assert all(file.is_file() for file in written)
        raise error

    frames = [Frame(k, k / 10, np.zeros((64, 64, 3), np.uint8)) for k in range(2)]
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(command, "read_frames", lambda path: iter(frames))
    monkeypatch.setattr(command, "write_clip", fails)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.mp4").write_bytes(b"")
    out = tmp_path / "out"
    code = main([str(tmp_path / "in"), "--run", str(run), "--out", str(out)])
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert len(written) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
