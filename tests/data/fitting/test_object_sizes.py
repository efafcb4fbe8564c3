import numpy as np

from corrlight.data import CocoDataModule, FitSize, RandomHorizontalFlip, Resize
from corrlight.data.fitting.object_sizes import input_sizes, object_sizes


def test_sizes_are_those_of_the_samples(make_folder):
    steps = {"flip": RandomHorizontalFlip(), "size": Resize(64, 64, keep_ratio=False)}
    data = CocoDataModule(make_folder(), None, None, None, None, train_transforms=steps)
    dataset = data._dataset("train")
    samples = [dataset[k] for k in range(len(dataset))]
    sides = np.concatenate([(s.boxes[:, 2:] - s.boxes[:, :2]).numpy() for s in samples])
    seen = object_sizes(dataset, tuple(steps.values()))
    assert np.allclose(seen, sides, atol=1e-4)
    assert input_sizes(dataset, tuple(steps.values())).tolist() == [list(s.size) for s in samples]


def test_file_sizes_without_a_resize(make_folder):
    data = CocoDataModule(
        make_folder(), None, None, None, None, eval_transforms={"size": FitSize(80)}
    )
    before, after = data.picture_sizes()
    assert before.tolist() == [[32, 40], [32, 48]]
    assert after.tolist() == [[64, 80], [53, 80]]
    assert data.train_object_sizes()[0].tolist() == [20, 10]
