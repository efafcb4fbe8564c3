#!/bin/sh
# torch 2.11.0, fused=True of Adam, AdamW, SGD (momentum) and Adagrad, on a CPU.
# Guess: where a weight and its averages lie differently, the fused kernel raises (on CUDA, Adam's names device, dtype and
#        layout in a RuntimeError: pytorch issues 106951, 110758) or does what the loop does.
# Seen:  neither. It walks through memory and pairs weights with the averages and gradients of other weights; no error, no
#        warning. Two valid ways to get there: model.to(memory_format=torch.channels_last) once training has begun, and
#        loading the optimizer's state of a training without channels_last into one with it. The largest difference from
#        fused=False is then of the size of the weights' own change; without a change of format it is rounding.
# Source: aten/src/ATen/native/cpu/FusedAdamKernel.cpp (and FusedSGDKernel, FusedAdagradKernel): data_ptr and numel of
#        parameter, gradient and state, no look at strides; load_state_dict keeps the strides of what it loads.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.11.0 numpy==2.4.6
cd "$folder"
"$folder/env/bin/python" - <<'PY'
import copy

import torch
from torch import nn

print("torch", torch.__version__)
OPTIMIZERS = {
    "Adam": (torch.optim.Adam, {}),
    "AdamW": (torch.optim.AdamW, {}),
    "SGD": (torch.optim.SGD, {"momentum": 0.9}),
    "Adagrad": (torch.optim.Adagrad, {}),
}

def steps(net, optimizer, seeds):
    for seed in seeds:
        images = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        net(images).square().mean().backward()
        assert net.weight.grad.stride() == net.weight.stride()
        optimizer.step()

def train(make, way):
    torch.manual_seed(0)
    net = nn.Conv2d(4, 8, 3, bias=False)
    optimizer = make(net.parameters())
    steps(net, optimizer, (0, 1))
    before = net.weight.detach().clone()
    if way == "model moved":
        net.to(memory_format=torch.channels_last)
    elif way == "state loaded":
        state = copy.deepcopy(optimizer.state_dict())
        net.to(memory_format=torch.channels_last)
        optimizer = make(net.parameters())
        optimizer.load_state_dict(state)
    steps(net, optimizer, (2, 3))
    return net.weight.detach(), (net.weight.detach() - before).abs().max()

for name, (cls, options) in OPTIMIZERS.items():
    for way in ("format kept", "model moved", "state loaded"):
        loop, change = train(lambda p: cls(p, lr=0.05, fused=False, **options), way)
        fused, _ = train(lambda p: cls(p, lr=0.05, fused=True, **options), way)
        share = float((fused - loop).abs().max() / change)
        print(f"{name}, {way}: largest difference {share:.1%} of the largest change")
        assert (share > 0.1) == (way != "format kept"), "the behaviour has changed"
PY
