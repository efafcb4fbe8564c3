import pytest

from corrlight.config.compose import compose_config
from corrlight.config.ranks import follow_torchrun, is_main_process, ranks_per_node

RANKS = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "SLURM_PROCID")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in (*RANKS, "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def config(*overrides):
    return compose_config(["trainer=cpu", *overrides]).config


@pytest.mark.parametrize(
    ("devices", "count"), [("3", 3), ("[0,2]", 2), ("'0,1,4'", 3), ("auto", 1), ("-1", 1)]
)
def test_devices_are_counted(devices, count):
    assert ranks_per_node(config(f"trainer.devices={devices}")) == count


@pytest.mark.parametrize("devices", ["many", "0", "1.5"])
def test_what_is_no_number_of_devices_is_refused(devices):
    with pytest.raises(ValueError, match=r"`trainer\.devices`"):
        ranks_per_node(config(f"trainer.devices={devices}"))


@pytest.mark.parametrize(
    ("environment", "main"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, True),
        ({"NODE_RANK": "1"}, False),
    ],
)
def test_one_process_writes(monkeypatch, environment, main):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_main_process() == main


def test_torchrun_says_how_many(monkeypatch):
    given = config("trainer.devices=auto")
    follow_torchrun(given)
    assert given.trainer.devices == "auto"  # Nobody started ranks.
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "a"), ("LOCAL_WORLD_SIZE", "2"), ("WORLD_SIZE", "6"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    follow_torchrun(given)
    assert (given.trainer.devices, given.trainer.num_nodes) == (2, 3)
    with pytest.raises(ValueError, match=r"`trainer\.devices` to be the 2 that torchrun"):
        follow_torchrun(config("trainer.devices=4"))
