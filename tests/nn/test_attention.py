"""Cross-attention (equations §2.1)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import slow
from tide.nn.attention import CrossAttention

LATENT, FEATURES, WIDTH, HEADS = 7, 5, 6, 3


def make(residual: bool) -> tuple[CrossAttention, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    module = CrossAttention(LATENT, FEATURES, WIDTH, HEADS, residual=residual).double()
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    return module, torch.randn(4, LATENT).double(), torch.randn(4, 9, FEATURES).double()


@pytest.mark.parametrize("residual", [False, True])
def test_equals_the_slow_form(residual):
    module, latent, tokens = make(residual)
    read = module(latent, *module.prepare(tokens))
    p = {name: value.numpy() for name, value in module.state_dict().items()}
    for b in range(4):
        output, weights = slow.attention(latent[b].numpy(), tokens[b].numpy(), p, HEADS)
        np.testing.assert_allclose(read.output[b].detach().numpy(), output, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(read.weights[b].detach().numpy(), weights, rtol=1e-12, atol=1e-13)


def test_weights_sum_to_one_and_follow_the_tokens_when_these_are_permuted():
    module, latent, tokens = make(False)
    order = torch.randperm(9)
    read, permuted = (module(latent, *module.prepare(t)) for t in (tokens, tokens[:, order]))
    torch.testing.assert_close(read.weights.sum(-1), torch.ones(4, HEADS).double(), rtol=1e-14, atol=0)
    torch.testing.assert_close(permuted.output, read.output, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(permuted.weights, read.weights[:, :, order], rtol=1e-12, atol=1e-13)


def test_gradcheck():
    module, latent, tokens = make(True)
    inputs = (latent[:2].requires_grad_(), tokens[:2].requires_grad_())
    assert torch.autograd.gradcheck(lambda z, t: module(z, *module.prepare(t)), inputs, fast_mode=True)
