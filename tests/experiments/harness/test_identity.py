"""The experiments look for a run where training puts it."""

import json

from corrlight.config.build import build_data
from corrlight.config.compose import compose_config
from corrlight.runs.locate import identify
from experiments.harness.identity import Locator


def test_runs_on_data_with_any_number_of_classes_are_found(tmp_path):
    """Rows share what is read of the data, its number of classes too."""
    categories = [{"id": i, "name": f"kind {i}"} for i in (1, 2, 3)]
    image = {"id": 1, "file_name": "1.png", "width": 8, "height": 8}
    box = {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
    content = {"categories": categories, "images": [image], "annotations": [box]}
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / "annotations" / f"{split}.json").write_text(json.dumps(content))
    common = ["data=coco_custom", f"data.root={tmp_path}", f"paths.runs_dir={tmp_path / 'runs'}"]
    locator = Locator(draw=False)
    folders = set()
    for detector in ("atss_small", "paa_small"):
        for seed in (0, 1):
            options = [*common, f"detector={detector}"]
            planned = locator.plan(options, seed)
            composed = compose_config([*options, f"seed={seed}"])
            data = build_data(composed.config)
            assert composed.config.data.num_classes == 3
            assert planned.folder is not None
            assert planned.folder.path == identify(composed, data).path
            folders.add(planned.folder.path)
    assert len(folders) == 4
