"""Sizes and parameters of the network, and what its flags do."""

import pytest
import torch
from torch.nn import functional

from attention_wnet.model import AttentionGate, AttentionWNet, SharedBlock

COUNTS = {  # filters: LadderNet, with batch norm, with attention, with both
    10: (1_381_652, 1_383_512, 1_417_776, 1_419_636),
    16: (3_535_154, 3_538_130, 3_625_578, 3_628_554),
    32: (14_134_370, 14_140_322, 14_489_274, 14_495_226),
}


@pytest.mark.parametrize("filters", COUNTS)
def test_parameters_of_the_four_networks(filters):
    flags = [(False, False), (False, True), (True, False), (True, True)]
    found = [sum(p.numel() for p in AttentionWNet(filters, *of).parameters()) for of in flags]
    assert tuple(found) == COUNTS[filters]


@pytest.mark.parametrize("size", [(16, 16), (48, 48), (1, 1), (17, 31), (50, 70), (33, 96)])
@pytest.mark.parametrize("attention", [False, True])
def test_any_size_comes_out_as_it_went_in(size, attention):
    model = AttentionWNet(4, attention, attention).eval()
    assert model(torch.rand(2, 1, *size)).shape == (2, 2, *size)


def test_padding_leaves_what_lies_far_from_it():
    """A picture and its lower part cropped away differ by what the network sees there alone."""
    torch.manual_seed(0)
    model = AttentionWNet(4).eval()
    picture = torch.rand(1, 1, 400, 32)
    whole, part = model(picture), model(picture[:, :, :391])
    torch.testing.assert_close(whole[:, :, :64], part[:, :, :64])


def test_a_block_uses_one_convolution_twice():
    torch.manual_seed(0)
    block = SharedBlock(6, regularised=False, dropout=0.25).eval()
    x = torch.randn(2, 6, 9, 9)
    w, b = block.convolution.weight, block.convolution.bias
    inner = functional.relu(functional.conv2d(x, w, b, padding=1))
    torch.testing.assert_close(block(x), functional.relu(functional.conv2d(inner, w, b, padding=1) + x))


def test_the_norm_stands_after_the_first_use_alone():
    torch.manual_seed(0)
    block = SharedBlock(6, regularised=True, dropout=0.0).train()
    x = torch.randn(4, 6, 9, 9)
    w, b = block.convolution.weight, block.convolution.bias
    inner = functional.relu(functional.batch_norm(functional.conv2d(x, w, b, padding=1), None, None, training=True))
    torch.testing.assert_close(block(x), functional.relu(functional.conv2d(inner, w, b, padding=1) + x))


def test_whole_channels_are_dropped():
    block = SharedBlock(64, regularised=False, dropout=0.5).train()
    torch.manual_seed(0)
    dropped = block.dropout(torch.ones(1, 64, 5, 5))[0]
    assert all(channel.unique().numel() == 1 for channel in dropped)
    assert 0 < (dropped[:, 0, 0] == 0).sum() < 64


def test_a_gate_weighs_all_channels_of_a_skip_by_one_map():
    torch.manual_seed(0)
    gate = AttentionGate(8).eval()
    decoder, skip = torch.randn(2, 8, 12, 12), torch.rand(2, 8, 12, 12) + 0.5
    share = gate(decoder, skip) / skip
    assert share.min() > 0 and share.max() < 1
    torch.testing.assert_close(share, share[:, :1].expand_as(share))
    assert not torch.allclose(gate(decoder + 1, skip), gate(decoder, skip)), "the decoder has a say"


def test_every_weight_has_a_part_in_the_loss():
    torch.manual_seed(0)
    model = AttentionWNet(4).train()
    functional.cross_entropy(model(torch.rand(2, 1, 48, 48)), torch.randint(0, 2, (2, 48, 48))).backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert all(weight.grad.abs().sum() > 0 for name, weight in model.named_parameters() if "convolution.weight" in name)
