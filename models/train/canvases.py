"""MNIST digits, white on black, at any place and size on a canvas of 64x64."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

SIDE = 64
# Sides of a digit in pixels: from one that is just readable to nearly the canvas.
SIDES = (14, 60)


def load(folder, split):
    """``(digits float [N,1,28,28] in [0,1], labels int64 [N])`` of ``train`` or ``t10k``."""
    read = lambda kind, skip: np.frombuffer(  # noqa: E731
        gzip.decompress((Path(folder) / f"mnist/{split}-{kind}.gz").read_bytes()), np.uint8, offset=skip
    )
    digits = read("images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    labels = read("labels-idx1-ubyte", 8).astype(np.int64)
    return torch.from_numpy(digits.copy()).float() / 255, torch.from_numpy(labels)


def paste(digits, gen):
    """Canvases ``[N,3,64,64]`` in [0,1], each with one of the digits ``[N,1,28,28]``."""
    n = len(digits)
    side = torch.rand(n, generator=gen) * (SIDES[1] - SIDES[0]) + SIDES[0]
    half = side / SIDE
    centre = (torch.rand(n, 2, generator=gen) * 2 - 1) * (1 - half[:, None])
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / half
    theta[:, :, 2] = -centre / half[:, None]
    grid = F.affine_grid(theta, (n, 1, SIDE, SIDE), align_corners=False)
    # A digit that gets smaller is averaged first: sampling alone would tear its strokes.
    small = F.interpolate(F.avg_pool2d(digits, 2), size=28, mode="bilinear")
    source = torch.where((side < 21)[:, None, None, None], small, digits)
    canvas = F.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return canvas.clamp(0, 1).expand(-1, 3, -1, -1)
