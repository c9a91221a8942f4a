"""Make the fixtures of GenD models: small networks with random weights, pictures, and what PyTorch says of them.

    python models/train/gend_fixtures.py --out tests/fixtures/gend

Needs timm for the Perception Encoder. Each network is saved as a release of GenD
would be, exported by export_gend.py and compared with the encoder that was
saved: pictures are read by Pillow, normalised and judged in float64, the head
and the mean over frames as GenD has them.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import export_gend

# How a release lies on disk: each backbone tries another.
SAVED = {"clip": "release", "dinov3": "last.ckpt", "pe": "model.safetensors"}
SEEDS = {"clip": 1, "dinov3": 2, "pe": 3}


def picture(size, seed):
    """RGB ``[size, size, 3]``: smooth blobs of colour under fine grain, nothing like a face."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    image = np.full((size, size, 3), draw.uniform(60, 190, 3))
    for _ in range(6):
        cx, cy, radius = draw.uniform(0, 1, 3)
        blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (0.02 + 0.1 * radius))
        image += blob[..., None] * draw.uniform(-120, 120, 3)
    return np.clip(image + draw.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def write_pictures(size, folder, seed):
    """Pictures of the network's size, as PNG and as JPEG with whole and with halved colour; their names."""
    Image.fromarray(picture(size, seed)).save(folder / "plain.png", optimize=True)
    Image.fromarray(picture(size, seed + 1)).save(folder / "full-colour.jpg", quality=92, subsampling=0)
    Image.fromarray(picture(size, seed + 2)).save(folder / "half-colour.jpg", quality=80, subsampling=2)
    return ["plain.png", "full-colour.jpg", "half-colour.jpg"]


def sample(path, backbone):
    """``[1, 3, H, W]`` in float64, as the encoder's image processor makes it of a picture that needs no resizing."""
    _, mean, std = export_gend.PREPROCESSING[backbone].values()
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255
    return torch.tensor(((pixels - mean) / std).transpose(2, 0, 1)[None])


@torch.no_grad()
def judge(encoder, weight, bias, pictures, backbone):
    """Logits ``[N, 2]`` of the encoder as it was saved, in float64."""
    encoder = encoder.double()
    if backbone == "pe":
        encoder.head = torch.nn.Identity()
        feature = encoder(pictures)
    else:
        out = encoder(pictures)
        feature = out.pooler_output if backbone == "clip" else out.last_hidden_state[:, 0]
    return F.linear(F.normalize(feature, p=2, dim=1), weight.double(), bias.double())


def make(backbone, out):
    folder = out / backbone
    folder.mkdir(parents=True, exist_ok=True)
    size, heads = export_gend.TINY["size"][backbone], export_gend.TINY["heads"]
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / SAVED[backbone]
        encoder, weight, bias = export_gend.save_tiny(backbone, SEEDS[backbone], weights)
        model, _ = export_gend.build(backbone, weights, size, heads)
    difference = export_gend.export(model, size, folder / "classifier.onnx")
    (folder / "model.yaml").write_text(export_gend.model_yaml(backbone, backbone, size, "classifier.onnx"))
    names = write_pictures(size, folder, 10 * SEEDS[backbone])
    logits = judge(encoder, weight, bias, torch.cat([sample(folder / name, backbone) for name in names]), backbone)
    probabilities = logits.softmax(1)
    expected = {
        "note": "Written by models/train/gend_fixtures.py; classes are real and fake.",
        "pictures": [
            {"file": name, "logits": of.tolist(), "probabilities": p.tolist()}
            for name, of, p in zip(names, logits, probabilities)
        ],
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    bytes_ = (folder / "classifier.onnx").stat().st_size
    print(f"{backbone}: {bytes_ / 1e3:.0f} kB, fake {[round(p, 4) for p in probabilities[:, 1].tolist()]}, {difference:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the fixtures")
    parser.add_argument("--backbone", choices=tuple(SAVED), action="append", help="make these alone")
    args = parser.parse_args()
    for backbone in args.backbone or SAVED:
        make(backbone, args.out)


if __name__ == "__main__":
    main()
