import json
import shutil

import pytest
import torch

from corrlight.config.build import build_data
from corrlight.config.compose import compose_config
from corrlight.data import (
    CocoDataModule,
    CocoFormatError,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
    ShapesDataModule,
)

PATHS = ("train", "annotations/train.json", "val", "annotations/val.json")


def module(root, **options):
    return CocoDataModule(root, *PATHS, **{"batch_size": 2, **options})


def edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_description_without_a_trainer(make_folder):
    root = make_folder()
    data = module(root)
    assert data.category_ids == (0, 7, 1000)
    assert data.class_names == ("cat", "dog", "owl")
    assert data.num_classes == 3
    assert data.val_annotation_file == data.test_annotation_file == root / PATHS[3]
    assert data.annotation_files == [root / PATHS[1], root / PATHS[3]]
    assert (data.num_train_images, data.num_val_images) == (3, 2)
    assert data.val_dataloader().dataset is data.test_dataloader().dataset


def test_labels_are_positions_in_the_sorted_category_ids(make_folder):
    (batch,) = module(make_folder(), eval_batch_size=2).val_dataloader()
    assert [t.labels.tolist() for t in batch.targets] == [[0], [0, 1]]
    assert [t.image_id for t in batch.targets] == [10, 11]
    assert batch.targets[1].boxes.tolist() == [[2, 3, 13, 8], [3, 3, 14, 9]]


def test_workers_give_the_same_batches(make_folder):
    root = make_folder(num_train=7)
    steps = {
        "crop": RandomCrop(12, 40),
        "flip": RandomHorizontalFlip(),
        "size": Resize([20, 40], 80),
    }
    epochs = []
    for workers, cache in ((0, "none"), (2, "none"), (0, "ram"), (2, "ram")):
        data = module(root, num_workers=workers, cache=cache, train_transforms=steps)
        loader = data.train_dataloader()
        batches = list(loader)
        loader.batch_sampler.set_epoch(1)
        epochs.append([*batches, *loader])
    assert len(epochs[0]) == 8
    for other in epochs[1:]:
        for one, two in zip(epochs[0], other, strict=True):
            assert torch.equal(one.images, two.images)
            assert [t.image_id for t in one.targets] == [t.image_id for t in two.targets]
            assert all(
                torch.equal(a.boxes, b.boxes) for a, b in zip(one.targets, two.targets, strict=True)
            )


def test_loaders_leave_the_global_generator_alone(make_folder):
    data = module(make_folder(), train_transforms={"flip": RandomHorizontalFlip()})
    state = torch.get_rng_state()
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), state)


def test_images_without_annotations_are_left_out_of_training_only(make_folder):
    root = make_folder(num_train=3, num_val=3)
    for split in ("train", "val"):
        edit(
            root / f"annotations/{split}.json",
            lambda d: d.update(annotations=[a for a in d["annotations"] if a["image_id"] != 11]),
        )
    assert (module(root).num_train_images, module(root).num_val_images) == (2, 3)
    assert module(root, filter_empty=False).num_train_images == 3


def test_crowds_are_no_targets(make_folder):
    root = make_folder()

    def all_but_the_last(data):
        for annotation in data["annotations"][:-1]:
            annotation["iscrowd"] = 1

    edit(root / "annotations/train.json", all_but_the_last)
    for ignore in (False, True):
        targets = [
            t for b in module(root, train_ignore_crowd=ignore).train_dataloader() for t in b.targets
        ]
        assert sorted(len(t.boxes) for t in targets) == [0, 0, 1]
        counts = sorted(-1 if t.crowd_boxes is None else len(t.crowd_boxes) for t in targets)
        assert counts == ([1, 2, 2] if ignore else [-1, -1, -1])


def test_validation_on_training_pictures_is_a_warning(make_folder, caplog):
    root = make_folder()
    CocoDataModule(root, "train", None, "train", "annotations/train.json").setup("fit")
    assert "3 validation pictures are trained on as well" in caplog.text
    caplog.clear()
    module(root).setup("fit")
    assert "trained on as well" not in caplog.text


def test_landscape_and_portrait_in_batches_of_their_own(make_folder):
    root = make_folder(num_train=6)

    def turn(data):
        for image in data["images"][::2]:
            image["width"], image["height"] = image["height"], image["width"]
            image["height"] += 1

    edit(root / "annotations/train.json", turn)
    edit(root / "annotations/train.json", lambda d: d.update(annotations=[
        {**a, "bbox": [0, 0, 5, 5]} for a in d["annotations"]]))  # fmt: skip
    data = module(root, group_by_aspect=True, check_images="none")
    sizes = data._dataset("train").sizes
    for batch in data.train_dataloader().batch_sampler:
        assert len({sizes[index][0] < sizes[index][1] for index, _ in batch}) == 1


def test_limits(make_folder):
    data = module(make_folder(), max_train_images=2, max_val_images=1)
    assert (data.num_train_images, data.num_val_images) == (2, 1)


class FakeTrainer:
    def __init__(self, rank, world):
        self.global_rank, self.world_size, self.num_devices = rank, world, world
        progress = type("Progress", (), {"current": type("Current", (), {"processed": 4})()})()
        self.fit_loop = type("Loop", (), {"epoch_progress": progress})()


def test_ranks_share_the_batch(make_folder):
    root = make_folder(num_train=6)
    alone = module(root, batch_size=4)
    alone.trainer = FakeTrainer(0, 1)
    whole = list(alone.train_dataloader())
    shares = []
    for rank in range(2):
        data = module(root, batch_size=4)
        data.trainer = FakeTrainer(rank, 2)
        shares.append(list(data.train_dataloader()))
    for batch, first, second in zip(whole, *shares, strict=True):
        ids = [[t.image_id for t in b.targets] for b in (batch, first, second)]
        assert ids[0] == ids[1] + ids[2]


def test_batch_that_cannot_be_shared(make_folder):
    data = module(make_folder(), batch_size=4)
    data.trainer = FakeTrainer(0, 3)
    with pytest.raises(ValueError, match=r"multiple of the number of ranks \(3\), but got 4\."):
        data.train_dataloader()


# Bad input: one line, before training.


@pytest.mark.parametrize(
    ("missing", "name"),
    [("", "data"), ("annotations/val.json", "val.json"), ("train", "train"), ("val", "val")],
)
def test_missing_folder_says_the_layout(make_folder, tmp_path, missing, name):
    root = make_folder()
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError) as caught:
        module(root).setup("fit")
    assert str(caught.value) == (
        f"Expected `data.root`={root} to hold annotations/train.json, annotations/val.json, "
        f"train/, val/, but {path} does not exist."
    )


def test_missing_and_damaged_images_are_found_by_setup(make_folder):
    root = make_folder()
    whole = (root / "train/1.png").read_bytes()
    (root / "train/1.png").write_bytes(whole[: len(whole) // 2])
    (root / "train/0.png").unlink()
    with pytest.raises(CocoFormatError) as caught:
        module(root).setup("fit")
    message = str(caught.value)
    assert message.startswith(
        f"Expected readable images in {root / 'train'}, but found 2 problems: "
        f"image {root / 'train/0.png'} is missing; image {root / 'train/1.png'} is damaged: "
    )
    assert "\n" not in message
    module(root).setup("test")


def test_damage_that_only_decoding_shows(make_folder):
    root = make_folder()
    data = module(root)
    data.setup("fit")
    (root / "train/1.png").write_bytes((root / "train/1.png").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"Expected .*train/1\.png to be a complete image, but"):
        list(data.train_dataloader())


def test_number_of_classes_is_compared(make_folder):
    root = make_folder()
    with pytest.raises(ValueError) as caught:
        module(root, num_classes=80).setup()
    path = root / "annotations/train.json"
    assert str(caught.value) == f"Expected `num_classes`=80 categories in {path}, but got 3."


def test_other_categories_in_validation(make_folder):
    root = make_folder()
    edit(root / "annotations/val.json", lambda d: d["categories"][1].update(name="wolf"))
    with pytest.raises(ValueError) as caught:
        module(root).setup("fit")
    assert str(caught.value).endswith(
        "but got {0: cat, 7: dog, 1000: owl} and {0: cat, 7: wolf, 1000: owl}."
    )


def test_no_image_to_train_on(make_folder):
    root = make_folder()
    edit(root / "annotations/train.json", lambda d: d.update(annotations=[]))
    with pytest.raises(ValueError, match=r"Expected images with annotations in .*train\.json"):
        module(root).setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "Expected `batch_size` to be an int of at least 1, but got 0."),
        ({"eval_batch_size": 1.5}, "Expected `eval_batch_size` to be an int of at least 1, "
         "but got 1.5."),
        ({"num_workers": -1}, "Expected `num_workers` to be an int of at least 0, but got -1."),
        ({"seed": None}, "Expected `seed` to be an int of at least 0, but got None."),
        ({"max_val_images": 0}, "Expected `max_val_images` to be an int of at least 1, but got 0."),
        ({"cache": "disk"}, "Expected `cache` to be one of 'none', 'ram', but got 'disk'."),
        ({"check_images": "no"}, "Expected `check_images` to be one of 'quick', 'decode', 'none', "
         "but got 'no'."),
        ({"invalid_boxes": "fix"}, "Expected `invalid_boxes` to be one of 'error', 'drop', 'cut', "
         "but got 'fix'."),
        ({"bit_depth": 33}, "Expected `bit_depth` to be at most 32, the bits of the deepest "
         "pictures, but got 33."),
        ({"std": [1, 2, 0]}, "Expected `std` to be 3 positive numbers, but got [1.0, 2.0, 0.0]."),
    ],
)  # fmt: skip
def test_bad_options(tmp_path, options, message):
    with pytest.raises(ValueError) as caught:
        module(tmp_path, **options)
    assert str(caught.value) == message


# The embedded data and the YAML files.


def test_shapes_are_drawn_when_needed(tmp_path):
    data = ShapesDataModule(
        tmp_path, num_train=5, num_val=3, image_size=64, num_classes=8, batch_size=4,
        eval_batch_size=2, cache="ram", draw_workers=1,
    )  # fmt: skip
    assert str(data) == f"ShapesDataModule(root={tmp_path})"
    assert list(tmp_path.iterdir()) == []
    data.prepare_data()
    assert data.root.parent == tmp_path
    assert all(f.is_file() for f in data.annotation_files)
    assert data.category_ids == tuple(range(1, 9))
    batches = list(data.train_dataloader())
    assert [len(b) for b in batches] == [4, 1]
    assert [b.images.shape[1:] for b in batches] == [(3, 64, 64)] * 2
    assert [len(b) for b in data.val_dataloader()] == [2, 1]
    assert [len(b) for b in data.test_dataloader()] == [2, 1]


def built(*overrides):
    return build_data(compose_config(list(overrides)).config)


def test_shapes_configuration(tmp_path):
    small = [
        "data.num_train=3",
        "data.num_val=2",
        "data.image_size=64",
        f"paths.data_dir={tmp_path}",
    ]
    data = built("data=shapes", "seed=3", *small)
    data.setup()
    assert data.root.parent == tmp_path / "shapes"
    assert data.seed == 3
    assert data.options.seed == 0
    large = built("data=shapes_large")
    assert (large.options.num_train, large.options.image_size) == (20_000, 320)


def test_custom_configuration_reads_the_classes(make_folder):
    config = compose_config(
        ["data=coco_custom", f"data.root={make_folder()}", "data.num_workers=0"]
    )
    data = build_data(config.config)
    assert config.config.data.num_classes == 3
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch.padded_sizes[0][0] % 32 == 0
    assert {max(size) for size in batch.valid_sizes} == {40, 48, 56}  # Nothing is enlarged.


@pytest.mark.parametrize("name", ["coco", "coco_multiscale"])
def test_coco_configuration(make_folder, name):
    root = make_folder(num_train=4)
    (root / "train").rename(root / "train2017")
    (root / "val").rename(root / "val2017")
    for split in ("train", "val"):
        (root / f"annotations/{split}.json").rename(
            root / f"annotations/instances_{split}2017.json"
        )
    data = built(f"data={name}", f"data.root={root}", "data.num_workers=0", "data.num_classes=3")
    data.setup()
    (batch, *_) = data.val_dataloader()
    assert batch.valid_sizes == [(800, 1000)]
    for epoch in range(3):
        loader = data.train_dataloader()
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            for target in batch.targets:
                assert max(target.valid_size) <= 1333
                assert min(target.valid_size) <= 800
                high = torch.tensor([*target.valid_size[::-1]] * 2)
                assert ((target.boxes >= 0) & (target.boxes <= high + 1e-3)).all()


def test_coco_without_a_root_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError) as caught:
        built("data=coco", f"data.root={tmp_path / 'none'}").setup()
    assert str(caught.value) == (
        f"Expected `data.root`={tmp_path / 'none'} to hold annotations/instances_train2017.json, "
        "annotations/instances_val2017.json, train2017/, val2017/, "
        f"but {tmp_path / 'none'} does not exist."
    )
