"""Pictures of faces from ``faces.zip``, and where the eyes, nose and mouth are in them."""

import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SETS = ("lfw/real", "ciplab/real", "ciplab/fake", "ffhq-stylegan2/real", "ffhq-stylegan2/fake")
# Of the mean picture of a set whose pictures are aligned: both eyes, the tip of the nose, both corners of the mouth.
LANDMARKS = {
    "lfw/real": ((105, 111.5), (145, 111.5), (125, 135), (108.5, 157), (142.5, 157)),
    "ffhq-stylegan2/real": ((90.5, 118.5), (165, 118.5), (128, 160), (97.5, 196.5), (158, 196.5)),
}
# The five points of a crop of 112 pixels that face networks are commonly trained with.
REFERENCE = np.array(((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366),
                      (41.5493, 92.3655), (70.7299, 92.2041)))


def held_out(name):
    """Whether a picture is of the fifth that is tested on; all pictures of one person are on one side."""
    person = name.split("/")[2] if name.startswith("lfw/") else name.rsplit(".", 1)[0]
    return zlib.crc32(person.encode()) % 5 == 0


def load(folder, kind, work):
    """``(pictures uint8 [N, S, S, 3], names)`` of one of SETS; ``work`` is a folder for the decoded arrays."""
    kept = Path(work) / f"faces-{kind.replace('/', '-')}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return arrays["pictures"], arrays["names"].tolist()
    pictures, names = [], []
    with zipfile.ZipFile(Path(folder) / "faces.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.startswith(f"{kind}/") and n.endswith(".jpg")):
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                pictures.append(np.asarray(picture.convert("RGB")))
            names.append(name)
    pictures = np.stack(pictures)
    part = kept.with_suffix(".part.npz")
    np.savez(part, pictures=pictures, names=np.array(names))
    os.replace(part, kept)
    return pictures, names


def similarity(points, target):
    """The 2x3 matrix of the similarity that takes ``points [5,2]`` nearest to ``target [5,2]``."""
    points, target = np.asarray(points, float), np.asarray(target, float)
    p, t = points - points.mean(0), target - target.mean(0)
    a = (p * t).sum() / (p * p).sum()
    b = (p[:, 0] * t[:, 1] - p[:, 1] * t[:, 0]).sum() / (p * p).sum()
    turn = np.array(((a, -b), (b, a)))
    return np.column_stack((turn, target.mean(0) - turn @ points.mean(0)))


def crop_points(size, scale=1.3):
    """Where the five points lie in an aligned crop of ``size`` pixels with a margin of ``scale``."""
    margin = size * (scale - 1) / 2
    return (REFERENCE * size / 112 + margin) * size / (size + 2 * margin)


def warped(picture, matrix, size):
    """A PIL picture under a 2x3 matrix from picture to crop; averaged first where the crop is smaller."""
    shrink = int(1 / max(np.sqrt(abs(np.linalg.det(matrix[:, :2]))), 1e-6))
    if shrink > 1:
        picture = picture.reduce(shrink)
        matrix = matrix @ np.array(((shrink, 0, (shrink - 1) / 2), (0, shrink, (shrink - 1) / 2), (0, 0, 1)))
    back = np.linalg.inv(np.vstack((matrix, (0, 0, 1))))
    # PIL asks for the source of a pixel's centre, at +0.5 in both pictures.
    back[:2, 2] += 0.5 - back[:2, :2] @ (0.5, 0.5)
    return picture.transform((size, size), Image.Transform.AFFINE, back[:2].ravel().tolist(),
                             Image.Resampling.BILINEAR)
