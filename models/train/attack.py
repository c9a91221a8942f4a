"""Attacks on classifiers of normalised images, at ``eps`` in every pixel."""

import torch
from torch.nn import functional as F

import data

MEAN = torch.tensor(data.MEAN).view(1, 3, 1, 1)
STD = torch.tensor(data.STD).view(1, 3, 1, 1)


def to_tensors(images, labels):
    """Normalised images ``[N,3,32,32]`` and labels ``[N]`` of arrays."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (x - MEAN) / STD, torch.from_numpy(labels)


def inside(x):
    """Normalised images whose pixels are held in [0, 1]."""
    return torch.maximum(torch.minimum(x, (1 - MEAN) / STD), -MEAN / STD)


@torch.no_grad()
def accuracy(model, x, y, batch=500):
    hits = sum((model(x[i : i + batch]).argmax(1) == y[i : i + batch]).sum().item()
               for i in range(0, len(x), batch))
    return hits / len(x)


def pgd(model, x, y, eps, steps=20, step=None, seed=0, batch=250):
    """Projected gradient descent from a random start (Madry et al., 2018)."""
    eps = eps / STD
    step = eps / 4 if step is None else step / STD
    generator = torch.Generator().manual_seed(seed)
    out = []
    for i in range(0, len(x), batch):
        clean, target = x[i : i + batch], y[i : i + batch]
        bent = inside(clean + (torch.rand(clean.shape, generator=generator) * 2 - 1) * eps)
        for _ in range(steps):
            bent.requires_grad_()
            loss = F.cross_entropy(model(bent), target, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, bent)
            bent = bent.detach() + step * gradient.sign()
            bent = inside(torch.maximum(torch.minimum(bent, clean + eps), clean - eps))
        out.append(bent.detach())
    return torch.cat(out)
