"""CIFAR-10 from zip files of ``<class>/NNNN.jpg``."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)
# Of pixels in [0, 1]: what an image is normalised with.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


def load(folder, split, cache=None):
    """``(images uint8 [N,32,32,3], labels int64 [N])`` of ``cifar10-SPLIT.zip``,
    in the order of their names. ``cache`` is a folder for the decoded arrays."""
    kept = Path(cache) / f"cifar10-{split}.npz" if cache else None
    if kept and kept.exists():
        with np.load(kept) as arrays:
            return arrays["images"], arrays["labels"]
    images, labels = [], []
    with zipfile.ZipFile(Path(folder) / f"cifar10-{split}.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                images.append(np.asarray(picture.convert("RGB")))
            labels.append(CLASSES.index(name.split("/")[-2]))
    images, labels = np.stack(images), np.array(labels, dtype=np.int64)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, images=images, labels=labels)
        os.replace(part, kept)
    return images, labels
