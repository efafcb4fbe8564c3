import argparse
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from corrlight.convert import read_source

STATE = {"backbone.conv1.weight": torch.ones(2, 3), "bbox_head.fc.bias": torch.zeros(4)}


def test_training_checkpoints_of_the_toolbox(tmp_path):
    meta = {"epoch": 12, "CLASSES": ("cat", "dog"), "config": "model = dict()"}
    wrapped = {f"module.{k}": v for k, v in STATE.items()}
    torch.save({"meta": meta, "state_dict": wrapped, "optimizer": {}}, tmp_path / "epoch_12.pth")
    source = read_source(tmp_path / "epoch_12.pth")
    assert source.origin == "mmdetection"
    assert source.class_names == ("cat", "dog")
    assert source.state.keys() == STATE.keys()


def test_names_of_the_classes_as_3x_stores_them(tmp_path):
    meta = {"dataset_meta": {"classes": ("cat", "dog"), "palette": [(1, 2, 3)]}}
    torch.save({"meta": meta, "state_dict": STATE}, tmp_path / "a.pth")
    assert read_source(tmp_path / "a.pth").class_names == ("cat", "dog")


def _history_checkpoint(path):
    """Write what the log of a 3.x training looks like, without its library."""
    torch.save({"state_dict": STATE, "message_hub": {"loss": "PLACE"}}, path)
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    name = next(n for n in members if n.endswith("data.pkl"))
    # GLOBAL of the history and an empty tuple, NEWOBJ, its dictionary with an array, BUILD.
    array = pickle.dumps(np.arange(3.0), protocol=2)[2:-1]
    array = array.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    history = (
        b"cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}(X\x04\x00\x00\x00_log"
        + _without_memo(array)
        + b"X\x03\x00\x00\x00minc__builtin__\ngetattr\n"
        + b"X\x01\x00\x00\x00aX\x03\x00\x00\x00min\x86Rub"
    )
    place = b"X\x05\x00\x00\x00PLACE"
    assert place in members[name]
    members[name] = members[name].replace(place, history)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def _without_memo(stream):
    """Return a pickle without its memo, whose numbers would clash with those around it."""
    buffer = io.BytesIO()
    pickler = pickle._Pickler(buffer, 2)
    pickler.fast = True
    pickler.save(pickle.loads(b"\x80\x02" + stream + b"."))
    body = buffer.getvalue()
    return body.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_histories_in_a_training_checkpoint_become_nothing(tmp_path):
    path = tmp_path / "epoch_1.pth"
    _history_checkpoint(path)
    with pytest.raises(pickle.UnpicklingError, match="HistoryBuffer"):
        torch.load(path, weights_only=True)
    assert read_source(path).state.keys() == STATE.keys()


def test_safetensors_with_and_without_our_metadata(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    assert read_source(tmp_path / "a.safetensors").origin == "mmdetection"
    ours = {f"detector.{k}": v for k, v in STATE.items()} | {"criterion.state": torch.ones(1)}
    beside = {"class_names": '["cat"]', "category_ids": "[7]", "format": "pt"}
    save_file(ours, tmp_path / "b.safetensors", beside)
    source = read_source(tmp_path / "b.safetensors")
    assert source.origin == "corrlight"
    assert source.state.keys() == STATE.keys()
    assert (source.class_names, source.category_ids) == (("cat",), (7,))


def test_a_bare_backbone(tmp_path):
    torch.save({"conv1.weight": torch.ones(1), "fc.bias": torch.ones(1)}, tmp_path / "r.pth")
    assert read_source(tmp_path / "r.pth").origin == "backbone"


class Hostile:
    def __init__(self, function, *args):
        self.made = function, args

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickles_are_refused_and_not_run(tmp_path, zipped):
    path, mark = tmp_path / "hostile.pth", tmp_path / "mark"
    content = {"state_dict": STATE, "meta": Hostile(os.system, f"touch {mark}")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"Refused .*names posix\.system, which is more") as error:
        read_source(path)
    assert "weights_only" not in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize("made", [(eval, "1 / 0"), (print, "read"), (open, "x", "w")])
def test_functions_of_python_are_refused(tmp_path, capsys, made):
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": STATE, "meta": Hostile(*made)}, path)
    with pytest.raises(ValueError, match="more than data"):
        read_source(path)
    assert capsys.readouterr().out == ""


def test_attributes_cannot_be_looked_up(tmp_path):
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": {"a": Hostile(getattr, "a", "upper")}}, path)
    with pytest.raises(ValueError, match="'a' is a _Inert and no tensor"):
        read_source(path)


def test_whole_models_are_refused(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"names torch\.nn\.modules\.linear\.Linear"):
        read_source(tmp_path / "model.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    torch.save(STATE, path) if suffix == ".pth" else save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="Cannot read the checkpoint"):
        read_source(path)
    with pytest.raises(FileNotFoundError, match="there is no"):
        read_source(tmp_path / f"b{suffix}")


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"state_dict": 3}, {"meta": "text"}, [1]])
def test_files_without_weights(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"Expected a (state dict|dictionary) in"):
        read_source(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "wrap",
    ["module.{}", "_orig_mod.{}", "_orig_mod.module.{}", "module._orig_mod.{}", "model.{}",
     "model._orig_mod.module.{}", "_forward_module.module.{}", "net.{}"],
)  # fmt: skip
@pytest.mark.parametrize(
    "key", ["state_dict", "model_state_dict", "model", "weights", "ema_state_dict", None]
)
def test_wrappers_and_places_of_the_weights(tmp_path, wrap, key):
    state = {wrap.format(name): tensor for name, tensor in STATE.items()}
    torch.save(state if key is None else {"epoch": 1, key: state}, tmp_path / "a.pth")
    assert read_source(tmp_path / "a.pth").state.keys() == STATE.keys()


def test_weights_within_a_dictionary_of_a_dictionary(tmp_path):
    torch.save({"model": {"state_dict": STATE, "step": 3}}, tmp_path / "a.pth")
    assert read_source(tmp_path / "a.pth").state.keys() == STATE.keys()


def test_wrappers_within_a_model_and_counts_of_averages(tmp_path):
    state = {
        "n_averaged": torch.tensor(3),
        "module.backbone._orig_mod.conv1.weight": torch.ones(2),
        "module.neck._checkpoint_wrapped_module.model.bias": torch.ones(2),
    }
    torch.save(state, tmp_path / "a.pth")
    assert {*read_source(tmp_path / "a.pth").state} == {"backbone.conv1.weight", "neck.model.bias"}


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<i8", "|u1", "|b1"])
def test_arrays_of_numpy_are_read_without_it_being_called(tmp_path, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    state = {"backbone.a": values, "backbone.b": np.asfortranarray(values),
             "backbone.c": values[1, 2], "backbone.d": torch.ones(1)}  # fmt: skip
    torch.save({"model": state, "args": argparse.Namespace(lr=1)}, tmp_path / "a.pth")
    found = read_source(tmp_path / "a.pth").state
    native = torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))
    assert torch.equal(found["backbone.a"], native)
    assert torch.equal(found["backbone.b"], native)
    assert found["backbone.c"].item() == native[1, 2].item()
    assert found["backbone.a"].dtype == native.dtype


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_arrays_of_no_numbers_are_refused(tmp_path, array):
    torch.save({"model": {"backbone.a": array}}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"'backbone\.a' is an array of no numbers and no tensor"):
        read_source(tmp_path / "a.pth")
