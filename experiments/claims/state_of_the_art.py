"""Section 5.4: the methods of Table 5.5 on test-dev, where ours needs results of the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments import table_5_5
from experiments.claims.claim import TOLERANCE, Claim, Numbers, OurNumbers
from experiments.claims.evidence import NotMeasuredError, Sample
from experiments.harness.thesis_numbers import records

__all__ = ["STATE_OF_THE_ART"]

_R101, _X101 = "ResNet-101-DCN", "ResNeXt-101-DCN"
_METHOD = "Corr-Sparse R-CNN"
_ROWS = {_R101: "sparse_rcnn_r101_dcn-spearman", _X101: "sparse_rcnn_x101_dcn-spearman"}
_OTHERS = tuple(line for line in records("table_5_5") if line["group"] != "ours")

Which = Callable[[Mapping[str, str]], bool]


def _ours(n: Numbers, backbone: str) -> Sample:
    """AP on test-dev of Corr-Sparse R-CNN."""
    if isinstance(n, OurNumbers):
        return n.server_ap(_ROWS[backbone])
    (line,) = (
        r for r in records("table_5_5") if (r["method"], r["backbone"]) == (_METHOD, backbone)
    )
    return Sample.of(float(line["ap"]))


def _reaches(backbone: str, claimed: float) -> Claim:
    wanted = claimed - TOLERANCE
    return Claim(
        section="5.4",
        text=f"Corr-Sparse R-CNN reaches {claimed:.1f} AP on {backbone}",
        criterion=f"AP on test-dev at least {wanted:.1f}",
        holds=lambda n: _ours(n, backbone) >= wanted,
    )


def _above(text: str, backbone: str, margin: float, which: Which) -> Claim:
    """A comparison with the published methods that ``which`` picks."""
    best = max(float(line["ap"]) for line in _OTHERS if which(line))
    return Claim(
        section="5.4",
        text=text,
        criterion=f"{backbone} on test-dev at least {margin:g} AP above {best:.1f}",
        holds=lambda n: _ours(n, backbone) - best >= margin,
    )


def _above_one(text: str, backbone: str, method: str, margin: float) -> Claim:
    return _above(
        text, backbone, margin, lambda r: (r["method"], r["backbone"]) == (method, backbone)
    )


def _faster(text: str, backbone: str, method: str) -> Claim:
    fps = table_5_5.FPS

    def holds(n: Numbers) -> bool:
        if isinstance(n, OurNumbers):
            raise NotMeasuredError("frames a second of the full-size detectors")
        return fps[_METHOD, backbone] > fps[method, backbone]

    return Claim(
        section="5.4", text=text, criterion="more frames a second on the same GPU", holds=holds
    )


def _in_group(group: str) -> Which:
    return lambda line: line["group"] == group


STATE_OF_THE_ART: tuple[Claim, ...] = (
    _reaches(_X101, 51.0),
    _above("... about 1 AP above all NMS-based methods", _X101, 0.7, _in_group("nms_based")),
    _above("... about 1 AP above all NMS-free methods", _X101, 0.7, _in_group("nms_free")),
    _reaches(_R101, 49.6),
    _above(
        "... above the NMS-based methods on this common backbone",
        _R101,
        0.1,
        lambda line: (line["group"], line["backbone"]) == ("nms_based", _R101),
    ),
    _above_one("... 1.8 AP above RS-R-CNN", _R101, "RS-R-CNN", 1.8),
    _above_one("... more than 1 AP above GFLv2", _R101, "GFLv2", 1.0),
    _above_one("... above VFNet", _R101, "VFNet", 0.1),
    _faster("... and faster than VFNet (13.7 and 12.6 fps)", _R101, "VFNet"),
    _above("on ResNeXt-101-DCN it surpasses all methods", _X101, 0.1, lambda line: True),
    _above_one("... RS-Mask R-CNN+ among them", _X101, "RS-Mask R-CNN+", 0.1),
    _faster("... and faster than that (6.8 and 6.4 fps)", _X101, "RS-Mask R-CNN+"),
    _above_one("on R101-DCN more than 2 AP above TSP R-CNN", _R101, "TSP R-CNN", 2),
    _above_one("on X101-DCN about 2 AP above Sparse R-CNN", _X101, "Sparse R-CNN", 1.7),
    _above_one("... about 1 AP above Deformable DETR", _X101, "Deformable DETR", 0.7),
)
