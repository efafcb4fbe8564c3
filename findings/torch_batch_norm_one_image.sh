#!/bin/sh
# torch 2.11.0 (the same in 2.8.0, 2.9.1 and 2.15.0), torch.nn.BatchNorm2d in training, on a CPU.
# Guess: how the incoming gradient lies in memory changes nothing but the last digits.
# Seen:  a batch of one image whose maps are flattened to tokens, flatten(2).transpose(1, 2), gets wrong gradients
#        of input and weight (off by more than their own size), without a word, in float32 and float64.
#        With two images, or with the gradient made contiguous first, they are right to 1e-12. RT-DETR, RT-DETR v2
#        and D-FINE of transformers flatten what their input projections normalise, so that a CPU training of
#        theirs with one image a batch, or a rank, is wrong. Losses fall all the same.
# Source: aten/src/ATen/native/Normalization.cpp, batch_norm_backward_cpu_template: both tensors pass its check
#        of the memory format, and the gradient's numbers are read in the order of the input's.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.11.0 numpy==2.4.6
cd "$folder"
"$folder/env/bin/python" - <<'PY'
import torch

def by_formula(maps):
    center = maps.mean((0, 2, 3), keepdim=True)
    variance = maps.var((0, 2, 3), keepdim=True, unbiased=False)
    return (maps - center) / (variance + 1e-5).sqrt()

def gradient(normalise, maps, weights, contiguous=False):
    maps = maps.clone().requires_grad_()
    out = normalise(maps)
    if contiguous:
        out.register_hook(torch.Tensor.contiguous)
    tokens = out.flatten(2).transpose(1, 2)
    (tokens * weights).sum().backward()
    return maps.grad

torch.manual_seed(0)
print("torch", torch.__version__)
off = {}
for images in (1, 2):
    maps = torch.randn(images, 8, 4, 5, dtype=torch.float64)
    weights = torch.randn(images, 20, 8, dtype=torch.float64)
    right = gradient(by_formula, maps, weights)
    norm = torch.nn.BatchNorm2d(8).double()
    for contiguous in (False, True):
        found = gradient(norm, maps, weights, contiguous)
        off[images, contiguous] = (found - right).abs().max().item()
        kind = "contiguous gradient" if contiguous else "gradient as it comes"
        print(f"images {images}, {kind}: off by {off[images, contiguous]:.1e} of {right.abs().max():.1f}")
assert off.pop((1, False)) > 1, "the behaviour has changed"
assert max(off.values()) < 1e-12
PY
