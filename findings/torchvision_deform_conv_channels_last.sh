#!/bin/sh
# torchvision 0.26.0 (torch 2.11.0), torchvision.ops.deform_conv2d and DeformConv2d, on a CPU.
# Guess: the memory format of a weight changes the time at most; a weight of one tap (1x1) lies the same in both formats.
# Seen:  forward works, backward ends in a RuntimeError about elements that "refer to a single memory location", for
#        every 1x1 weight in channels_last, with one group or several. So model.to(memory_format=torch.channels_last) makes
#        a model with a 1x1 deformable convolution one that cannot be trained. 3x3 weights are right in both formats.
#        weight.contiguous() is no way out: of one tap both formats count as contiguous and it returns the same tensor.
#        weight.flatten().view(weight.shape), whose strides are plain, is one.
# Second: an infinite offset reads zero, as it should (the tap is outside), and its gradient is NaN; of 1e30 it is 0.
# Source: torchvision/csrc/ops/cpu/deform_conv2d_kernel.cpp, backward_gradient_parameters: the weight's gradient is made
#        with zeros_like(weight), in its format, viewed in groups and added to in place.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.11.0 torchvision==0.26.0 numpy==2.4.6
cd "$folder"
"$folder/env/bin/python" - <<'PY'
import torch
import torchvision
from torchvision.ops import deform_conv2d

print("torch", torch.__version__, "torchvision", torchvision.__version__)
torch.manual_seed(0)

def train(taps, groups, memory_format, plain=False):
    maps = torch.randn(2, 8, 6, 6)
    weight = torch.randn(8, 8 // groups, taps, taps).to(memory_format=memory_format).requires_grad_()
    offset = torch.zeros(2, 2 * taps**2, 6, 6)
    given = weight.flatten().view(weight.shape) if plain else weight
    out = deform_conv2d(maps, offset, given, padding=taps // 2)
    expected = torch.nn.functional.conv2d(maps, weight, padding=taps // 2, groups=groups)
    right = torch.autograd.grad(expected.sum(), weight)[0]
    assert (out - expected).abs().max() < 1e-4
    try:
        out.sum().backward()
    except RuntimeError as error:
        return "RuntimeError: " + str(error).split(".")[0]
    assert (weight.grad - right).abs().max() < 1e-4
    return "right"

for groups in (1, 2, 4):
    for taps in (1, 3):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            found = train(taps, groups, memory_format)
            print(f"{groups} groups, {taps}x{taps}, {memory_format}: {found}")
            wrong = taps == 1 and memory_format == torch.channels_last
            assert found.startswith("RuntimeError") == wrong, "the behaviour has changed"
    assert train(1, groups, torch.channels_last, plain=True) == "right"

for far in (1e30, float("inf")):
    offset = torch.full((1, 18, 4, 4), far).requires_grad_()
    out = deform_conv2d(torch.randn(1, 2, 4, 4), offset, torch.randn(2, 2, 3, 3), padding=1)
    out.sum().backward()
    print(f"offset {far}: output {out.abs().max():.0f}, NaN in its gradient: {offset.grad.isnan().any()}")
    assert out.abs().max() == 0
    assert bool(offset.grad.isnan().any()) == (far == float("inf")), "the behaviour has changed"
PY
