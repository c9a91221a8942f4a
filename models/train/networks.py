"""Network definitions, batch-norm folding and the ONNX export.

Two families live here:

* ``SpeedNet``: the short VGG-like net of the CIFAR-10 classifier, with a
  frozen patch-whitening first layer.
* ``ResNet``: the classic CIFAR ResNet (20 layers by default), used with random
  weights where only speed matters.

Every network ends in a global pool, ``[N, D]`` features and one ``Linear``, so
that a reader of the ONNX file finds the features as the first input of the
last ``Gemm``.
"""

import copy
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn import functional as F


def conv3x3(cin, cout, stride=1):
    return nn.Conv2d(cin, cout, 3, stride=stride, padding=1, bias=False)


class ScaleFreeNorm(nn.BatchNorm2d):
    """Batch norm with a trained shift and a scale fixed at one.

    The scale is redundant in front of a layer that can absorb it, and a fixed
    positive one lets the normalisation be folded into a convolution *through*
    a max-pool that stands between the two.
    """

    def __init__(self, channels, momentum=0.4):
        super().__init__(channels, momentum=momentum, eps=1e-5)
        self.weight.requires_grad = False


class Block(nn.Module):
    """conv, pool, norm, act, conv, norm, act."""

    def __init__(self, cin, cout, act):
        super().__init__()
        self.conv1 = conv3x3(cin, cout)
        self.norm1 = ScaleFreeNorm(cout)
        self.conv2 = conv3x3(cout, cout)
        self.norm2 = ScaleFreeNorm(cout)
        self.act = act()
        # An identity start for as many channels as there are inputs: the
        # picture passes straight through the fresh network.
        nn.init.dirac_(self.conv1.weight[:cin].data)
        nn.init.dirac_(self.conv2.weight.data)

    def forward(self, x):
        # The pool stands before the norm: a quarter of the values to normalise.
        x = F.max_pool2d(self.conv1(x), 2)
        x = self.act(self.norm1(x))
        return self.act(self.norm2(self.conv2(x)))


class SpeedNet(nn.Module):
    """Whitening layer, three blocks, global max-pool, linear head."""

    def __init__(self, widths=(64, 256, 256), classes=10, act=nn.GELU):
        super().__init__()
        # 3 channels x 2 x 2 pixels = 12 directions, each with both signs.
        self.whiten = nn.Conv2d(3, 24, 2, bias=True)
        self.whiten.weight.requires_grad = False
        self.act = act()
        chain = [24, *widths]
        self.blocks = nn.Sequential(
            *(Block(a, b, act) for a, b in zip(chain[:-1], chain[1:]))
        )
        self.head = nn.Linear(widths[-1], classes)
        # Small logits at first keep the early steps of a high rate stable.
        self.logit_scale = 1 / 9

    @torch.no_grad()
    def init_whitening(self, images, eps):
        """Set the first layer from the eigenvectors of 2x2 training patches.

        ``eps`` is added to the eigenvalues. Sharp whitening (a tiny eps) blows
        up the weakest directions, which in natural images are pixel noise; a
        larger one keeps the network usable on noisy images.
        """
        patches = images.unfold(2, 2, 1).unfold(3, 2, 1)
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
        patches = patches - patches.mean(0)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        w = (vectors / (values + eps).sqrt()).T.reshape(12, 3, 2, 2).float()
        self.whiten.weight.copy_(torch.cat([w, -w]))
        self.whiten.bias.zero_()

    def features(self, x):
        x = self.act(self.whiten(x))
        return torch.flatten(F.adaptive_max_pool2d(self.blocks(x), 1), 1)

    def forward(self, x):
        return self.head(self.features(x)) * self.logit_scale


class Basic(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.norm1 = conv3x3(cin, cout, stride), nn.BatchNorm2d(cout)
        self.conv2, self.norm2 = conv3x3(cout, cout), nn.BatchNorm2d(cout)
        self.short = None
        if stride != 1 or cin != cout:
            self.short = nn.Conv2d(cin, cout, 1, stride=stride, bias=False)
            self.short_norm = nn.BatchNorm2d(cout)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.short is not None:
            x = self.short_norm(self.short(x))
        return F.relu(x + y)


class ResNet(nn.Module):
    """CIFAR ResNet with 6n+2 layers; ``width`` channels in the first stage."""

    def __init__(self, n=3, width=16, classes=10):
        super().__init__()
        self.conv, self.norm = conv3x3(3, width), nn.BatchNorm2d(width)
        stages, cin = [], width
        for stage in range(3):
            for i in range(n):
                stride = 2 if stage and i == 0 else 1
                stages.append(Basic(cin, width << stage, stride))
                cin = width << stage
        self.blocks = nn.Sequential(*stages)
        self.head = nn.Linear(cin, classes)
        self.logit_scale = 1.0

    def features(self, x):
        x = self.blocks(F.relu(self.norm(self.conv(x))))
        return torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)

    def forward(self, x):
        return self.head(self.features(x)) * self.logit_scale


@torch.no_grad()
def fold(model, temperature=1.0):
    """A copy for inference: norms inside the convolutions, temperature and
    logit scale inside the last linear layer."""
    model = copy.deepcopy(model).eval().float()
    for module in model.modules():
        for name, conv in list(module.named_children()):
            norm_name = name.replace("conv", "norm") if "conv" in name else f"{name}_norm"
            norm = getattr(module, norm_name, None)
            if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
                continue
            scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            weight = conv.weight.double() * scale[:, None, None, None]
            bias = norm.bias.double() - norm.running_mean.double() * scale
            fused = nn.Conv2d(
                conv.in_channels, conv.out_channels, conv.kernel_size,
                conv.stride, conv.padding, bias=True,
            )
            fused.weight.copy_(weight)
            fused.bias.copy_(bias)
            setattr(module, name, fused)
            setattr(module, norm_name, nn.Identity())
    factor = model.logit_scale / temperature
    model.head.weight.mul_(factor)
    model.head.bias.mul_(factor)
    model.logit_scale = 1.0
    return model.eval()


def weights(file):
    """The state of a module that was exported."""
    return {i.name.removeprefix("model."): torch.tensor(onnx.numpy_helper.to_array(i))
            for i in file.graph.initializer}


def load(path):
    """The folded ``SpeedNet`` of an exported file, its weights frozen."""
    state = weights(onnx.load(path))
    widths = [len(state[f"blocks.{b}.conv2.bias"]) for b in range(3)]
    model = fold(SpeedNet(widths, len(state["head.bias"])))
    model.load_state_dict(state)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


def write_onnx(network, example, path, inputs, outputs, axes):
    """Exports a network as ``path``, checked, the same bytes for the same weights. ``example`` are its inputs,
    ``axes`` the axes that may vary, by the name of an input or output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, example, str(path), input_names=list(inputs), output_names=list(outputs),
                          opset_version=17, dynamo=False, dynamic_axes=axes)
    file = onnx.load(path)
    file.doc_string = ""
    onnx.checker.check_model(file, full_check=True)
    onnx.save(file, path)


class _Plain(nn.Module):
    """Leaves out the multiplication by a logit scale of one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model.head(self.model.features(image))


def export(folded, path, opset=17, side=32):
    """Write a folded model as one self-contained ONNX file: ``image`` to
    ``logits``, batch axis ``N``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folded = folded.to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Plain(folded).eval(), (torch.zeros(2, 3, side, side),), str(path),
            input_names=["image"], output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
            opset_version=opset, dynamo=False,
        )
    model = onnx.load(path)
    model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return model


def parameters(model):
    return sum(p.numel() for p in model.parameters())
