"""Every network is one graph to torch.compile: where it is cut in two, a GPU waits for Python."""

import pytest
import torch

from fromnoise.networks import NETWORKS, Context
from tests.parts import built, shaped, stirred

SMALL = {
    "mlp": {"width": 16, "depth": 1},
    "two_linear": {"width": 16, "vector": 8},
    "conv": {"width": 8, "kernel": 3},
    "unet": {"width": 8, "levels": [1, 2], "blocks": 1, "attention": [1]},
    "convnext_unet": {"width": 16, "levels": [1, 2]},
    "dit": {"width": 32, "depth": 2, "heads": 2, "patch": 2},
    "uvit": {"width": 32, "depth": 3, "heads": 2, "patch": 2},
    "set_transformer": {"width": 32, "depth": 2, "heads": 2, "induced": 4},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_one_graph_with_the_same_outputs(name):
    torch._dynamo.reset()
    shape = shaped(name, (3, 8, 8))
    model = built({"network": {"name": name, **SMALL.get(name, {})}, "conditions": ["label"]}, shape, ("a", "b"))
    network = stirred(model.denoiser.network)
    context = model.conditions["label"](torch.tensor([0, 1, 1]))
    assert isinstance(context, Context)
    x, t = torch.randn(3, *shape), torch.rand(3)
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    assert torch.allclose(compiled(x, t, context), network(x, t, context), atol=1e-5)
