"""Fakes made from real faces, in batches: a face blended into itself, or into another, and what pictures go through.

After Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images" (CVPR 2022): two copies of one
picture, one of them shifted, recoloured or blurred a little, are blended along a mask of the face. What is left to
see is what every face swap leaves: a border, and two sides that do not quite fit.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

KINDS = ("self", "swap", "part")
# Of wide crops in units of the crop: 0 is its middle, 1 its border. The face's hull, eyes, nose and mouth.
FACE = (0.0, 0.02, 0.52, 0.66)
PARTS = ((0.0, -0.14, 0.44, 0.14), (-0.2, -0.14, 0.17, 0.12), (0.2, -0.14, 0.17, 0.12),
         (0.0, 0.1, 0.17, 0.24), (0.0, 0.34, 0.27, 0.15), (0.0, 0.3, 0.4, 0.36))


def uniform(gen, low, high, *shape):
    return torch.rand(shape, generator=gen) * (high - low) + low


def chance(gen, p, n):
    return torch.rand(n, generator=gen) < p


def view(values):
    return values.view(-1, 1, 1, 1)


def warp(pictures, gen, shift=(0.0, 0.0), zoom=0.0, angle=0.0, bend=0.0, repeat=1):
    """Pictures under similarities drawn within bounds, and a smooth random bending; at the border its last pixel.
    With ``repeat`` the pictures are so many parts of one size, and each part is moved as the first."""
    n, size = len(pictures) // repeat, pictures.shape[-1]
    where = places(gen, n, size, shift, zoom, angle, bend).repeat(repeat, 1, 1, 1)
    return F.grid_sample(pictures, where, mode="bilinear", padding_mode="border", align_corners=False)


def places(gen, n, size, shift, zoom, angle, bend):
    """Where each pixel comes from, ``[N, size, size, 2]``."""
    turn = uniform(gen, -angle, angle, n) * np.pi / 180
    scale = uniform(gen, 1 - zoom, 1 + zoom, n)
    c, s = turn.cos() * scale, turn.sin() * scale
    move = torch.stack([uniform(gen, -w, w, n) * 2 for w in shift], 1)
    matrix = torch.stack((torch.stack((c, -s, move[:, 0]), 1), torch.stack((s, c, move[:, 1]), 1)), 1)
    where = F.affine_grid(matrix, [n, 3, size, size], align_corners=False)
    if bend:
        where = where + bends(gen, n, size, bend).permute(0, 2, 3, 1)
    return where


def bends(gen, n, size, strength, knots=5):
    """Smooth displacements ``[N, 2, size, size]`` with deviation ``strength``."""
    coarse = torch.randn(n, 2, knots, knots, generator=gen) * strength
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)


def blur(pictures, sigma):
    """Gaussian blur of one deviation in pixels for the whole batch."""
    if sigma < 0.2:
        return pictures
    reach = max(1, int(3 * sigma + 0.5))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-x * x / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).repeat(pictures.shape[1], 1, 1, 1)
    padded = F.pad(pictures, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=pictures.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), groups=pictures.shape[1])


def masks(gen, n, size, parts):
    """Soft masks ``[N, 1, size, size]`` of the face, or of parts of it, in [0, 1]."""
    axis = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place = torch.stack((x, y)).expand(n, 2, size, size) + bends(gen, n, size, 0.05)
    hard = torch.zeros(n, 1, size, size)
    for i in range(n):
        shapes = [FACE]
        if parts[i]:
            count = int(torch.randint(1, 4, (1,), generator=gen))
            shapes = [PARTS[int(torch.randint(len(PARTS), (1,), generator=gen))] for _ in range(count)]
        for cx, cy, rx, ry in shapes:
            rx, ry = rx * float(uniform(gen, 0.75, 1.2, 1)), ry * float(uniform(gen, 0.75, 1.2, 1))
            cy = cy + float(uniform(gen, -0.08, 0.08, 1))
            if not parts[i] and torch.rand(1, generator=gen) < 0.2:
                cy, ry = cy + 0.3 * ry, ry * 0.7
            power = float(uniform(gen, 2, 3.5, 1))
            inside = ((place[i, 0] - cx) / rx).abs() ** power + ((place[i, 1] - cy) / ry).abs() ** power < 1
            hard[i, 0] = torch.maximum(hard[i, 0], inside.float())
    # Some borders are crisp, most soft, as the tools leave them.
    soft = torch.empty_like(hard)
    for group in torch.arange(n).chunk(4):
        soft[group] = blur(hard[group], float(uniform(gen, 0.3, size * 0.045, 1)))
    strength = torch.tensor((0.25, 0.5, 0.75, 1.0, 1.0, 1.0))[torch.randint(6, (n,), generator=gen)]
    return soft * view(torch.where(parts, torch.ones(n), strength))


def recoloured(pictures, gen, repeat=1):
    """Each picture with other gains, brightness, contrast, saturation and hue; with ``repeat`` each part as the first."""
    n = len(pictures) // repeat
    gain = 1 + torch.randn(n, 3, 1, 1, generator=gen) * 0.05
    lift = uniform(gen, -0.08, 0.08, n, 3, 1, 1) * view(uniform(gen, 0, 1, n))
    contrast, saturation = view(uniform(gen, 0.8, 1.2, n)), uniform(gen, 0.7, 1.3, n)
    hue = uniform(gen, -0.2, 0.2, n)
    mixing = chroma(saturation, hue)
    gain, lift, contrast, mixing = (x.repeat(repeat, *[1] * (x.dim() - 1)) for x in (gain, lift, contrast, mixing))
    changed = torch.einsum("nij,njhw->nihw", mixing, pictures)
    middle = changed.mean((2, 3), keepdim=True)
    return ((middle + (changed - middle) * contrast) * gain + lift).clamp(0, 1)


def chroma(saturation, hue):
    """Matrices of RGB ``[N, 3, 3]`` that stretch the colour about grey and turn it, in radians, and keep the luma."""
    luma = torch.tensor((0.299, 0.587, 0.114))
    # Any two directions without luma will do: blue less luma, red less luma.
    down = torch.stack((luma, torch.tensor((0.0, 0.0, 1.0)) - luma, torch.tensor((1.0, 0.0, 0.0)) - luma))
    down[1], down[2] = down[1] * 0.492, down[2] * 0.877
    c, s = hue.cos() * saturation, hue.sin() * saturation
    turn = torch.zeros(len(hue), 3, 3)
    turn[:, 0, 0], turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = 1, c, -s, s, c
    return down.inverse() @ turn @ down


def refocused(pictures, gen):
    """Each picture smaller and large again, blurred, or sharpened."""
    size = pictures.shape[-1]
    parts = []
    for group in pictures.chunk(8):
        how = int(torch.randint(4, (1,), generator=gen))
        if how < 2:
            small = int(size / float(uniform(gen, 1.3, 4, 1)))
            group = F.interpolate(group, size=(small, small), mode="bilinear", antialias=True)
            back = ("nearest", "bilinear", "bicubic")[int(torch.randint(3, (1,), generator=gen))]
            group = F.interpolate(group, size=(size, size), mode=back)
        elif how == 2:
            group = blur(group, float(uniform(gen, 0.4, 1.5, 1)))
        else:
            sharp = group - blur(group, float(uniform(gen, 0.6, 1.5, 1)))
            group = group + float(uniform(gen, 0.4, 2, 1)) * sharp
        parts.append(group.clamp(0, 1))
    return torch.cat(parts)


def fakes(pictures, others, kinds, gen):
    """Blended fakes of ``pictures [N, 3, S, S]`` in [0, 1]; ``kinds [N]`` are indices of KINDS; ``others`` give
    the faces of a swap, recoloured to the skin that they go into. Returns ``(targets, fakes, masks)``: what the faces
    were laid over, recoloured and refocused like them, and which share of each pixel was laid over,
    ``[N, 1, S, S]``."""
    n, _, size, _ = pictures.shape
    is_self = view(kinds == 0)
    mask = masks(gen, n, size, (kinds == 2) | ((kinds == 0) & chance(gen, 0.2, n)))
    weight = mask.clamp_min(1e-3)
    total = weight.sum((2, 3), keepdim=True)

    def moments(x):
        mean = (x * weight).sum((2, 3), keepdim=True) / total
        return mean, (((x - mean) ** 2 * weight).sum((2, 3), keepdim=True) / total).sqrt() + 1e-3

    (here, spread), (there, width) = moments(pictures), moments(others)
    fitted = ((others - there) / width * spread + here).clamp(0, 1)
    source, target = torch.where(is_self, pictures, fitted), pictures
    # One of the two is changed, rarely both or none.
    first = chance(gen, 0.5, n)
    for change in (recoloured, refocused):
        of_one, of_other = chance(gen, 0.75, n), chance(gen, 0.1, n)
        source = torch.where(view(torch.where(first, of_one, of_other)), change(source, gen), source)
        target = torch.where(view(torch.where(first, of_other, of_one)), change(target, gen), target)
    moved = warp(source, gen, (0.03, 0.03), 0.05, 1.5, 0.006)
    source = torch.where(view(chance(gen, 0.9, n)), moved, source)
    return target, mask * source + (1 - mask) * target, mask


def developed(pictures, gen, repeat=1):
    """What a picture goes through on its way: light, size, noise, compression; with ``repeat`` the pictures are so
    many parts of one size, and each part goes through what the first does."""
    n, size = len(pictures) // repeat, pictures.shape[-1]

    def some(p):
        return view(chance(gen, p, n)).repeat(repeat, 1, 1, 1)

    pictures = torch.where(some(0.3), recoloured(pictures, gen, repeat), pictures)
    small = F.interpolate(pictures, size=(int(size * float(uniform(gen, 0.5, 0.95, 1))),) * 2,
                          mode="bilinear", antialias=True)
    small = F.interpolate(small, size=(size, size), mode="bilinear")
    pictures = torch.where(some(0.2), small, pictures)
    deviation = view(uniform(gen, 0.0, 0.025, n)).repeat(repeat, 1, 1, 1)
    noisy = pictures + torch.randn(pictures.shape, generator=gen) * deviation
    return compressed(torch.where(some(0.2), noisy, pictures).clamp(0, 1), gen, 0.8, repeat)


def compressed(pictures, gen, p, repeat=1):
    """A share ``p`` of pictures saved as JPEG; with ``repeat`` each part as the first."""
    n = len(pictures) // repeat
    pick, quality = chance(gen, p, n).repeat(repeat), torch.randint(40, 98, (n,), generator=gen).repeat(repeat)
    out = pictures.clone()
    for i in pick.nonzero().flatten().tolist():
        out[i] = jpeg(pictures[i], int(quality[i]))
    return out


def jpeg(picture, quality):
    file = io.BytesIO()
    pixels = (picture * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    back = np.asarray(Image.open(file).convert("RGB"))
    return torch.from_numpy(back.copy()).permute(2, 0, 1).float() / 255
