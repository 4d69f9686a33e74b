"""CTR-GCN: the published checkpoints' names and shapes, the tokens, the graph, one person out of two."""

from __future__ import annotations

import hashlib

import pytest
import torch

from racctl.models.ctrgcn import CTRGCN, CTRGCNConfig, SpatialConvolution, one_person, partition
from racctl.skeleton.topology import D2STX25, NTU25, Topology

SMALL = {"people": 1, "base": 8}


def network(seed: int = 0, **options) -> CTRGCN:
    """With weights that are all of use: some of the paper's begin at nothing."""
    torch.manual_seed(seed)
    output = CTRGCN(CTRGCNConfig(**options)).eval()
    for module in output.modules():
        if isinstance(module, SpatialConvolution):
            torch.nn.init.ones_(module.bn.weight)
            torch.nn.init.constant_(module.alpha, 0.5)
    return output


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    return bool((first - second).abs().max() < 1e-5 * second.abs().max())


def test_keys_and_shapes_are_the_published_checkpoints():
    weights = CTRGCN(CTRGCNConfig(classes=120)).state_dict()
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in weights.items())
    assert len(lines) == 822
    assert "l1.gcn1.PA (3, 25, 25)" in lines and "data_bn.weight (150,)" in lines and "fc.weight (120, 256)" in lines
    known = "982686abcc9eda07a16f3413df70b91abc4b331a2b45ff11997d633ec9eec688"
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == known


def test_size():
    output = CTRGCN(CTRGCNConfig(classes=120))
    assert sum(p.numel() for p in output.parameters()) == 1_462_092
    assert sum(p.numel() for name, p in output.named_parameters() if not name.startswith("fc")) == 1_431_252


@pytest.mark.parametrize(("frames", "tokens"), [(64, 16), (16, 4), (300, 75), (63, 16)])
def test_a_token_is_four_frames_of_one_joint(frames, tokens):
    result = network(**SMALL, density=True)
    output = result.tokens(torch.randn(2, 3, frames, 25, 1))
    assert output.shape == (2, 32, tokens, 25, 1)
    assert result.classify(output).shape == (2, 60)
    assert result.repetitions(output).shape == (2, tokens) and (result.repetitions(output) > 0).all()


def test_heads_that_are_not_wanted_are_not_there():
    names = {name.split(".")[0] for name in network(**SMALL, classes=0).state_dict()}
    assert not names & {"fc", "density"}


@pytest.mark.parametrize("topology", [NTU25, D2STX25], ids=lambda t: t.name)
def test_the_graph(topology):
    itself, inward, outward = partition(topology)
    assert torch.equal(itself, torch.eye(25))
    wrist, hand = topology.indices(["left_wrist", "left_hand"])  # the hand is farther from the trunk
    assert inward[wrist, hand] > 0 and outward[hand, wrist] > 0
    assert inward[hand, wrist] == outward[wrist, hand] == 0
    assert torch.equal(inward > 0, (outward > 0).T)
    assert int((inward > 0).sum()) == len(topology.edges) == 24
    for links in (inward, outward):
        sums = links.sum(0)
        assert (torch.isclose(sums, torch.ones(25)) | (sums == 0)).all()
    assert int((outward.sum(0) == 0).sum()) == sum(not _children(topology, joint) for joint in topology.joints)


def _children(topology: Topology, joint: str) -> list[str]:
    return [far for near, far in topology.edges if near == joint]


def test_joints_have_no_order_of_their_own():
    """With the weights that belong to joints in another order, the tokens are the same in that order."""
    first = network(**SMALL)
    order = torch.randperm(25, generator=torch.manual_seed(3))
    weights = dict(first.state_dict())
    for name, tensor in weights.items():
        if name.endswith("PA"):
            weights[name] = tensor[:, order][:, :, order]
        if name.startswith("data_bn") and tensor.ndim:
            weights[name] = tensor.view(25, 3)[order].reshape(75)
    second = network(**SMALL)
    second.load_state_dict(weights)
    joints = torch.randn(2, 3, 16, 25, 1)
    expected = first.tokens(joints)[:, :, :, order]
    assert alike(second.tokens(joints[:, :, :, order]), expected)
    assert not alike(first.tokens(joints), expected)


def test_weights_for_two_people_serve_one():
    two = network(people=2, base=8)
    torch.nn.init.uniform_(two.data_bn.running_mean)
    single = network(seed=1, **SMALL)
    single.load_state_dict(one_person(two.state_dict()))
    joints = torch.randn(2, 3, 16, 25, 2)
    assert alike(single.tokens(joints[..., :1]), two.tokens(joints)[..., :1])


def test_everything_learns():
    output = network(**SMALL, density=True).train()
    tokens = output.tokens(torch.randn(4, 3, 16, 25, 1))
    (output.classify(tokens).square().sum() + output.repetitions(tokens).sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in output.parameters())
    assert all(unit.gcn1.alpha.grad.abs() > 0 for unit in (output.l1, output.l10))


@pytest.mark.parametrize("wrong", [{"base": 12}, {"people": 0}, {"channels": 0}, {"classes": -1}])
def test_what_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="multiple of 8"):
        CTRGCNConfig(**wrong).check()
