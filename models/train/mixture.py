"""Two classifiers mixed by adaptive smoothing, as the server mixes them.

``p = (1 - alpha) softmax(standardScale g) + alpha softmax(robustScale h)``, with
alpha fixed or from a mixing network (Bai et al., 2023), or with h bent by
``M(h) = s |z|^p sign(z)``, ``z = GELU(LN(h) + c)`` (MixedNUTS, Bai et al., 2024).
Everything is differentiable, so that an attacker of it sees all of it.
"""

import copy
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn import functional as F

import networks

# The tensor of classifier.onnx and of robust.onnx that the mixing network reads.
TENSOR = "/blocks/blocks.2/act_1/Mul_1_output_0"
TARGETS = ("standard", "robust", "fixed", "mixing-network", "nonlinear")
# s, p, c and alpha, as in model.yaml.
NONLINEAR = (0.3, 6.0, 0.0, 0.9)


class MixingNetwork(nn.Module):
    """The last block of either classifier ``[N,C,H,W]`` to ``gamma`` ``[N,1]``.

    Two convolutions look at each block. Beside them it has, from a copy of
    either head, what the classifiers answer and how far they agree."""

    def __init__(self, standard, robust, width=24):
        super().__init__()
        self.towers = nn.ModuleList(Tower(head, width) for head in (standard, robust))
        self.hidden = nn.Linear(8 * width + 4 * standard.out_features, 64)
        self.head, self.logit_scale = nn.Linear(64, 1), 1.0

    def forward(self, standard, robust):
        (a, g), (b, h) = (tower(x) for tower, x in zip(self.towers, (standard, robust)))
        p, q = g.softmax(1), h.softmax(1)
        answers = [p, q, p * q, (q - (q * p).sum(1, keepdim=True)) * p]
        return self.head(F.gelu(self.hidden(torch.cat([a, b, *answers], 1))))


class Tower(nn.Module):
    """Two convolutions, the mean and the maximum of each channel; and logits."""

    def __init__(self, head, width):
        super().__init__()
        self.conv1 = nn.Conv2d(head.in_features, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(2 * width)
        self.logits = copy.deepcopy(head)

    def forward(self, x):
        logits = self.logits(x.amax((2, 3)))
        x = F.gelu(self.norm1(self.conv1(x)))
        x = F.gelu(self.norm2(self.conv2(x)))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1), logits


def bend(h, s, p, c):
    """``M(h)`` of MixedNUTS."""
    z = F.gelu(F.layer_norm(h, h.shape[1:]) + c)
    return s * z.abs().clamp_min(1e-12) ** p * z.sign()


class Mixture(nn.Module):
    """Log-probabilities ``[N,K]`` of images. ``alpha`` is a number or a mixing
    network with its ``range`` (lowest, width); ``nonlinear`` is s, p and c."""

    def __init__(self, standard, robust, alpha, range=None, scales=(1.0, 1.0), nonlinear=None):
        super().__init__()
        self.standard, self.robust, self.alpha = standard, robust, alpha
        self.range, self.scales, self.nonlinear = range, scales, nonlinear

    def logits(self, x):
        """Logits of both classifiers, and gamma (None where alpha is fixed)."""
        (g, a), (h, b) = (watch(net, x) for net in (self.standard, self.robust))
        gamma = self.alpha(a, b) if isinstance(self.alpha, nn.Module) else None
        return (g, h), gamma

    def mix(self, g, h, gamma):
        alpha = self.alpha
        if gamma is not None:
            alpha = self.range[0] + self.range[1] * torch.sigmoid(gamma)
        h = bend(h, *self.nonlinear) if self.nonlinear else h
        return mix(g * self.scales[0], h * self.scales[1], alpha)

    def forward(self, x):
        logits, gamma = self.logits(x)
        return self.mix(*logits, gamma)


def watch(net, x):
    """Logits, and the output of the last block."""
    block = net.blocks(net.act(net.whiten(x)))
    return net.head(block.amax((2, 3))), block


def mix(g, h, alpha):
    """``log((1 - alpha) softmax(g) + alpha softmax(h))``."""
    alpha = torch.as_tensor(alpha, dtype=g.dtype)
    return torch.logaddexp(torch.log1p(-alpha) + g.log_softmax(1), alpha.log() + h.log_softmax(1))


def load(folder, target, alpha=None, nonlinear=NONLINEAR):
    """One of the ``TARGETS`` from the ONNX files in ``folder``; ``fixed`` mixes
    at ``alpha``, with the scales of the mixing network."""
    folder = Path(folder)
    standard, robust = (networks.load(folder / f"{name}.onnx") for name in ("classifier", "robust"))
    if target in ("standard", "robust"):
        return {"standard": standard, "robust": robust}[target]
    if target == "nonlinear":
        return Mixture(standard, robust, nonlinear[3], nonlinear=nonlinear[:3])
    file = onnx.load(folder / "mixing.onnx")
    constants = {p.key: p.value for p in file.metadata_props}
    low, width, *scales = (float(constants[key]) for key in
                           ("alphaBias", "alphaScale", "standardScale", "robustScale"))
    if target == "fixed":
        return Mixture(standard, robust, alpha, scales=scales)
    width_of = {i.name: i.dims[0] for i in file.graph.initializer}["towers.0.conv1.weight"]
    network = networks.fold(MixingNetwork(standard.head, robust.head, width_of))
    network.load_state_dict(networks.weights(file))
    return Mixture(standard, robust, network.requires_grad_(False), (low, width), scales)
