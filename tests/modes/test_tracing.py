import torch

from corrlight.modes.tracing import is_exporting, tensor_of_sizes


def test_numbers_are_a_tensor():
    found = tensor_of_sizes([(2, 3), (4, 5)], torch.device("cpu"))
    assert found.tolist() == [[2, 3], [4, 5]]
    assert found.dtype == torch.int64
    assert tensor_of_sizes([(2,)], torch.device("cpu"), torch.float32).dtype == torch.float32


def test_sizes_stay_symbols_in_an_export():
    class Sizes(torch.nn.Module):
        def forward(self, x):
            seen.append(is_exporting())
            return tensor_of_sizes([(x.shape[0], 7)], x.device) + 0 * x.sum().long()

    seen: list[bool] = []
    shapes = ({0: torch.export.Dim("n")},)
    program = torch.export.export(Sizes(), (torch.ones(5),), dynamic_shapes=shapes)
    assert set(seen) == {True}
    assert not is_exporting()
    assert program.module()(torch.ones(9)).tolist() == [[9, 7]]
