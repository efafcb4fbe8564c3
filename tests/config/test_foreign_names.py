import pytest

from corrlight.config.compose import ConfigError, compose_config
from corrlight.config.foreign_names import our_name


@pytest.mark.parametrize(
    ("option", "ours"),
    [
        ("epochs=20", "schedule.max_epochs=20"),
        ("imgsz=640", "data.size=320"),
        ("batch=16", "data.batch_size=8"),
        ("lr=0.1", "schedule.lr=0.001"),
        ("workers=0", "data.num_workers=2"),
        ("device=cpu", "trainer.accelerator=cpu"),
        ("max_detections=300", "metric.coco_evaluate.max_detections=300"),
    ],
)
def test_names_of_other_tools_are_answered_with_ours(option, ours):
    with pytest.raises(ConfigError) as caught:
        compose_config([option])
    message = str(caught.value)
    assert message.startswith(f"Unknown option '{option.partition('=')[0]}': here it is ")
    assert ours in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["epochs", "batch", "lr", "workers", "imgsz"])
def test_the_examples_compose(name):
    options = ["data=coco_custom", "data.root=x", str(our_name(name)).strip("'")]
    compose_config(options)


def test_an_unknown_name_is_unknown():
    assert our_name("epochz") is None
