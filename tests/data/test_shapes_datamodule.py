import pytest

from corrlight.data import SHAPE_CLASSES, ShapesDataModule


def test_drawn_when_needed_first(tmp_path):
    data = ShapesDataModule(tmp_path, num_train=4, num_val=2, image_size=64, draw_workers=1)
    assert not any(tmp_path.iterdir())
    data.prepare_data()
    assert data.class_names == SHAPE_CLASSES
    assert (data.num_train_images, data.num_val_images) == (4, 2)
    assert data.image_folders == []
    assert data.root.parent == tmp_path


def test_other_options_are_other_folders(tmp_path):
    options = {"num_train": 2, "num_val": 1, "image_size": 64, "draw_workers": 1}
    roots = {ShapesDataModule(tmp_path, data_seed=s, **options).root for s in (0, 0, 1)}
    assert len(roots) == 2


def test_bad_options(tmp_path):
    with pytest.raises(ValueError, match="num_train"):
        ShapesDataModule(tmp_path, num_train=0)
