import shutil

import pytest

from corrlight.export.card import model_card
from corrlight.predict.load import load

METADATA = {
    "class_names": ["circle", "square", "star"],
    "input": {"said": "1 x 3 x 64 x 64"},
    "outputs": ["boxes", "scores", "labels"],
    "normalization": {"mean": [123.675, 116.28, 103.53]},
    "resize": {"said": "FitSize(size=64)"},
}


@pytest.fixture
def folder(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs("atss_small"), folder)
    (folder / "overrides.yaml").write_text("- detector=atss_small\n- name=a b\n")
    (folder / "metrics.csv").write_text(
        "epoch,val/AP,val/beta_cls\n0,0.25,\n1,0.5,0.1\n", encoding="utf-8"
    )
    return folder


def card(folder, tmp_path, file_format="onnx"):
    model = load(folder, "cpu")
    return model_card(tmp_path / "m.onnx", file_format, model, METADATA, "5 pictures")


def test_measures_are_those_of_the_checkpoints_epoch(folder, tmp_path):
    text = card(folder, tmp_path)
    assert "epoch 1 of 2" in text
    assert "| AP | beta_cls |\n|---:|---:|\n| 25.0 | - |" in text


def test_command_data_classes_and_licence(folder, tmp_path):
    text = card(folder, tmp_path)
    assert "`corrlight train detector=atss_small 'name=a b'`" in text
    assert "3 classes: circle, square, star" in text
    assert "## Licence" in text
    assert 'onnxruntime.InferenceSession("m.onnx")' in text
    assert "FitSize(size=64)" in text
    assert "(124, 116, 104)" in text


def test_a_folder_without_measures(folder, tmp_path):
    (folder / "metrics.csv").unlink()
    (folder / "overrides.yaml").unlink()
    text = card(folder, tmp_path, "torch_export")
    assert "holds no measures" in text
    assert "torch.export.load" in text
