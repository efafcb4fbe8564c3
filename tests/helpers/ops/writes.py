"""All the ways in which a module's parameters and buffers get other values."""

import copy
import io

import torch
from torch.optim.swa_utils import AveragedModel


def _through_data(module):
    # As Lightning's averages of the weights are swapped in.
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.copy_(tensor.data * 1.5 + 0.25)
    return module


def _in_place(module):
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1.5).add_(0.25)
    return module


def _new_storage(module):
    # The old memory is freed first, and new tensors like to lie where old ones of their size lay.
    for tensor in (*module.parameters(), *module.buffers()):
        values, kind = tensor.data.tolist(), tensor.dtype
        tensor.data = torch.empty(0, dtype=kind)
        tensor.data = torch.tensor(values, dtype=kind) * 2
    return module


def _state_dict(module):
    values = {k: v * 1.5 + 0.25 for k, v in module.state_dict().items()}
    module.load_state_dict(values)
    return module


def _assigned(module):
    values = {k: v * 1.5 + 0.25 for k, v in module.state_dict().items()}
    module.load_state_dict(values, assign=True)
    return module


def _optimizer(module):
    # The gradient of anything will do.
    parameters = [p for p in module.parameters() if p.requires_grad]
    for fused in (False, True):
        optimizer = torch.optim.SGD(parameters, lr=0.5, fused=fused)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        optimizer.zero_grad()
    return module


def _average(module):
    averaged = AveragedModel(module)
    _in_place(module)
    averaged.update_parameters(module)
    return averaged.module


def _copied(module):
    copied = copy.deepcopy(module)
    return _through_data(copied)


def _saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return _through_data(torch.load(file, weights_only=False))


def _numpy(module):
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.detach().numpy()[...] += 0.5
    return module


# Each changes a module, or returns another one with other values.
WRITES = {
    "data": _through_data,
    "in place": _in_place,
    "new storage": _new_storage,
    "load_state_dict": _state_dict,
    "load_state_dict assign": _assigned,
    "optimizer step": _optimizer,
    "averaged model": _average,
    "deepcopy": _copied,
    "saved and loaded": _saved,
    "numpy": _numpy,
}
