"""Wrong input is one line on stderr, an exit code, and no trace on the disk."""

import json
import shutil

import pytest

from corrlight.app import BAD_INPUT, FAILED, main
from corrlight.app import run as run_app
from corrlight.data.drawn.shapes import ShapesOptions, write_shapes
from tests.integration.conftest import run_folder

SMALL = ShapesOptions(num_train=4, num_val=2, image_size=64)


# One or two of every place that refuses. What the checks before all others and Hydra refuse is
# tried in tests/config.


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corr.weight=-1", "Expected `corr.weight`"),
        ("corr.weight=nan", "Expected `corr.weight`"),
        ("corr.weight=a", "Expected `corr.weight`"),
        ("corr.group_by=lvl", "but got 'lvl'"),
        ("sede=1", "Did you mean 'seed'?"),
        ("seed=-1", "Expected `seed`"),
        ("schedule.scheduler.milestones=[3,2]", "`milestones`"),
        (["trainer.devices=99", "trainer=cpu"], "Expected `trainer.devices` to be at most"),
        ("loss=cross_entropy", "made by sigmoid, the detector's, but got one for softmax"),
        (["detector=detr_small", "loss=focal"], "another choice of `loss` fits"),
        (["detector=yolact_small", "loss=rank_sort"], "another choice of `loss` fits"),
        ("trainer.devices=null", "Expected `trainer.devices`"),
        (["data.batch_size=3", "trainer=ddp_sim"], "multiple of the 2 ranks"),
        ("schedule.scheduler.milestones=8", "Expected `milestones` to be a list"),
        ("schedule.scheduler.gamma=null", "Expected `gamma`"),
        ("allow_targets=mine", "Expected `allow_targets` to be a list"),
        ("launcher=slurm", "Expected `launcher` only with -m"),
        ("launcher.jobs=2", "Expected `launcher` only with -m"),
        ("trainer.limit_val_batches=2.5", "invalid value 2.5 for limit_val_batches"),
        ("detector.aux_head=centreness", "aux_head"),
        ("detector.assigner.topk=0", "topk"),
        ("detector.postprocessor.nms_thresh=2", "nms_thresh"),
        ("loss.alpha=3", "alpha"),
        ("backbone.depth=17", "depth"),
        ("backbone._target_=os.system", "Expected `_target_`"),
        ("name=../x", "Expected `name`"),
        ("ckpt=/nowhere/at/all", "there is no /nowhere/at/all"),
        ("backbone.weights=/nowhere/w.pth", "/nowhere/w.pth"),
    ],
)  # fmt: skip
def test_one_line_and_nothing_written(options, tmp_path, capsys, override, message):
    given = [override] if isinstance(override, str) else override
    assert run_app([*options, *given]) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_is_for_tests_alone(options, tmp_path, capsys):
    file = tmp_path / "atss.ckpt"
    file.touch()
    assert run_app([*options, f"ckpt={file}"]) == BAD_INPUT
    assert "Expected `ckpt` with mode=test alone" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_yaml_files_may_have_any_name(options, tmp_path, capsys):
    folder = tmp_path / "my conf, für 'alle'"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "x.yaml").write_text("# @package _global_\nseed: -3\n")
    # Among the overrides, as a user may type it.
    given = [options[0], "--config-dir", str(folder), "experiment=x", *options[1:]]
    assert main(given) == BAD_INPUT
    assert "Expected `seed`" in capsys.readouterr().err
    assert main(["--config-dir", str(folder / "none"), *options]) == BAD_INPUT
    assert "Expected `--config-dir` to be a folder" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--config-name=x", "--config-path=x", "--package=x"])
def test_flags_of_hydra_that_would_be_ignored_are_refused(flag, capsys):
    assert main([flag]) == BAD_INPUT
    error = capsys.readouterr().err
    assert f"Expected no {flag.partition('=')[0]}" in error
    assert error.count("\n") == 1


def test_help_opens_no_file_that_a_yaml_file_names(tmp_path, capsys):
    precious = tmp_path / "precious.txt"
    precious.write_text("kept")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "x.yaml").write_text(
        "# @package _global_\nhydra:\n  hydra_logging:\n    handlers:\n      file:\n"
        f"        class: logging.FileHandler\n        filename: {precious}\n        mode: w\n"
        "    root: {handlers: [file]}\n"
    )
    assert main(["--config-dir", str(tmp_path), "experiment=x", "--help"]) == BAD_INPUT
    assert "Expected no `hydra.hydra_logging`" in capsys.readouterr().err
    assert precious.read_text() == "kept"


def test_missing_pretrained_weights_say_the_two_ways_out(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))

    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    assert run_app([*options, "backbone=resnet50"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert "backbone.weights=null" in error
    said = [line for line in error.splitlines() if not line.startswith("Downloading")]
    assert len(said) == 1  # Before torch 2.7 `torch.hub` names the download there.


def test_a_missing_data_folder_says_what_is_expected(tmp_path, capsys):
    assert run_app(["data=coco", f"data.root={tmp_path / 'none'}"]) == BAD_INPUT
    error = capsys.readouterr().err
    assert str(tmp_path / "none") in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The same folder for all, so that their options are composed once."""
    return tmp_path_factory.mktemp("place")


def _change(name, value, record="annotations"):
    def change(root, content):
        content[record][1][name] = value

    return change


def _twice(record):
    def change(root, content):
        content[record].append(content[record][0])

    return change


def _cut_image(root, content):
    path = root / "train" / content["images"][0]["file_name"]
    path.write_bytes(path.read_bytes()[:-200])


def _remove_image(root, content):
    (root / "train" / content["images"][0]["file_name"]).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_change("image_id", 10**6), "1000000"),
        (_change("category_id", 77), "77"),
        (_change("bbox", [1.0, 1.0, -3.0, 4.0]), "-3.0"),
        (_change("bbox", [1.0, 1.0, 0.0, 4.0]), "[1, 1, 0, 4] has no positive width"),
        (_change("bbox", [1.0, float("nan"), 3.0, 4.0]), "nan"),
        (_twice("annotations"), "annotation"),
        (_twice("images"), "image"),
        (_change("id", 1, "categories"), "categor"),
        (_cut_image, "train"),
        (_remove_image, "train"),
        (lambda root, content: content.pop("annotations"), "annotations"),
        (lambda root, content: content.update(images=3), "images"),
    ],
)
def test_bad_coco_data_is_one_line_before_training(place, capsys, change, message):
    root = place / "mine"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(write_shapes(place / "whole", SMALL), root)
    source = root / "annotations" / "instances_train.json"
    content = json.loads(source.read_text())
    change(root, content)
    source.write_text(json.dumps(content))
    overrides = [
        "data=coco_custom",
        f"data.root={root}",
        "data.train_annotations=annotations/instances_train.json",
        "data.val_annotations=annotations/instances_val.json",
        f"paths.runs_dir={place / 'runs'}",
        "data.num_workers=0",
    ]
    assert run_app(overrides) == BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (place / "runs").exists()


def test_damage_that_only_decoding_shows_is_one_line(place, capsys):
    """The quick check looks at begin and end of a file; a training meets what lies between."""
    root = place / "damaged"
    shutil.copytree(write_shapes(place / "whole", SMALL), root)
    for path in (root / "train").iterdir():
        pixels = path.read_bytes()
        path.write_bytes(pixels[:60] + pixels[-12:])
    overrides = [
        *(
            "data=coco_custom",
            f"data.root={root}",
            "trainer=cpu",
            f"paths.runs_dir={place / 'runs'}",
        ),
        "data.train_annotations=annotations/instances_train.json",
        "data.val_annotations=annotations/instances_val.json",
        "data.num_workers=0",
    ]
    assert run_app(overrides) == FAILED
    error = capsys.readouterr().err
    assert "Traceback" not in error
    (line,) = (line for line in error.splitlines() if line.startswith("error: "))
    assert "to be a complete image" in line
    assert "data.on_bad_image=skip" in line
    shutil.rmtree(place / "runs")


def test_a_file_that_is_no_coco_json(tmp_path, capsys):
    (tmp_path / "annotations").mkdir()
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        (tmp_path / "annotations" / f"{name}.json").write_text("[1, 2")
    assert run_app(["data=coco_custom", f"data.root={tmp_path}"]) == BAD_INPUT
    assert "to be a JSON file" in capsys.readouterr().err


def test_a_cut_off_checkpoint_is_named_and_the_folder_left_alone(finished, capsys):
    folder = finished
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    metrics = json.loads((folder / "metrics.json").read_text())
    capsys.readouterr()
    assert run_app(["mode=test", f"ckpt={folder}"]) == BAD_INPUT
    assert "Cannot read the checkpoint" in capsys.readouterr().err
    assert json.loads((folder / "metrics.json").read_text()) == metrics


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_batch(options, tmp_path, capsys):
    overrides = [
        "allow_targets=[tests.integration.faults]",
        "+callbacks.fault._target_=tests.integration.faults.Nan",
    ]
    assert run_app([*options, *overrides]) == 1
    folder = run_folder(tmp_path / "runs")
    (file,) = (folder / "non_finite").iterdir()
    assert file.name == "epoch1_batch1_rank0.json"
    assert len(json.loads(file.read_text())["image_ids"]) == 4
    error = capsys.readouterr().err
    assert "error: The loss is not finite in epoch 2, batch 2" in error
    assert "Traceback" not in error
