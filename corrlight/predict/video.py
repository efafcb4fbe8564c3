"""Frames of videos, read one by one (the extra ``video``: PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["VIDEO_SUFFIXES", "Clip", "Frame", "check_av", "is_video", "read_frames", "write_clip"]

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a video.

    Attributes:
        number: Its place, from 0; frames that cannot be read count.
        seconds: When it is shown, or None where the file does not say.
        pixels: ``(H, W, 3)`` uint8 RGB, upright; None if it cannot be read.
    """

    number: int
    seconds: float | None
    pixels: npt.NDArray[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Drawn frames of a video that become a video again.

    Attributes:
        video: Tells the rate.
        name: Of the video among the sources.
        size: Width and height; larger pictures are reduced to it.
        pictures: Number and picture of every frame; a frame that is missing is a gap.
    """

    video: Path
    name: str
    size: tuple[int, int]
    pictures: list[tuple[int, Path]] = field(default_factory=list)


def is_video(path: Path) -> bool:
    """Return whether a file is a video by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def check_av(path: Path) -> None:
    """Raise ``ValueError`` unless PyAV, which reads ``path``, is installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"Expected av to be installed for videos ({path}), but got {error}: "
            "pip install 'corrlight[video]'."
        ) from error


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a video; one is in memory at a time.

    Frames are turned in steps of 90 degrees as a phone's metadata say.

    Raises:
        ValueError: The file is missing or no video; the message names it.
    """
    import av

    try:
        container = av.open(str(path))
    except (ValueError, OSError) as error:
        raise ValueError(f"Expected a video, but {path} cannot be read: {error}.") from error
    with container:
        if not container.streams.video:
            raise ValueError(f"Expected a video, but {path} has no pictures.")
        stream = container.streams.video[0]
        number = packets = 0
        try:
            for packet in container.demux(stream):
                packets += packet.size > 0
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    yield Frame(number, None, None)
                    number += 1
                    continue
                for frame in frames:
                    # The decoder fills what it cannot read with pixels of other frames.
                    pixels = None if frame.is_corrupt else frame.to_ndarray(format="rgb24")
                    if pixels is not None:
                        pixels = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
                    yield Frame(number, frame.time, pixels)
                    number += 1
        except av.error.InvalidDataError:
            yield Frame(number, None, None)
            number += 1
        # Of a file that is cut; packets, as frames that an edit leaves out are no loss.
        for _ in range(stream.frames - packets):
            yield Frame(number, None, None)
            number += 1


def write_clip(clip: Clip, path: Path) -> None:
    """Write drawn frames as an MP4 file of the size and mean rate of their video."""
    import av

    with av.open(str(clip.video)) as container:
        rate = container.streams.video[0].average_rate or Fraction(25)
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    # H.264 halves the colours' resolution only of even sizes.
    odd = codec == "libx264" and (clip.size[0] % 2 or clip.size[1] % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as made:
        stream = made.add_stream(codec, rate=rate)
        stream.width, stream.height = clip.size
        stream.pix_fmt = "yuv444p" if odd else "yuv420p"
        for number, file in clip.pictures:
            with Image.open(file) as picture:
                frame = av.VideoFrame.from_image(picture.convert("RGB").resize(clip.size))
            frame.pts, frame.time_base = number, 1 / rate
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
