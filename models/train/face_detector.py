"""Train the small face detector: boxes and five landmarks, in YuNet's output layout.

    python models/train/face_detector.py --data DIR --work DIR --out models/deepfake

Needs ``faces.zip`` and ``cifar10-train.zip``. The pictures of LFW and FFHQ are
aligned, so where a face's box and landmarks are is known on average: faces of
all sizes are cut out, turned, lit otherwise and pasted on pictures without
faces, and the network learns to find them again. It keeps a checkpoint; the same
command run again goes on. Then it exports and measures recall on people that it
never saw.
"""

import argparse
import io
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from torch import nn
from torch.nn import functional as F

import data
import faces
import networks

CANVAS = 256
STRIDES = (8, 16, 32)
# Sizes of faces, as the root of the box's area in pixels, that a stride answers for.
RANGES = ((0, 44), (34, 100), (78, 1e9))
# In distances between the eyes, from the point between them: left, top, right, bottom of the box.
BOX = (-1.02, -1.0, 1.02, 1.95)


# ------------------------------------------------------------ the canvases


class Canvases(torch.utils.data.IterableDataset):
    """Endless canvases ``[3, 256, 256]`` of BGR bytes, with targets of each cell, seeded."""

    def __init__(self, args, test, seed, crowd=5):
        self.people = []
        for kind in faces.LANDMARKS:
            pictures, names = faces.load(args.data, kind, args.work)
            pick = [i for i, name in enumerate(names) if faces.held_out(name) == test]
            self.people.append((pictures, pick, np.array(faces.LANDMARKS[kind])))
        self.objects, _ = data.load(args.data, "train", args.work)
        self.seed, self.crowd = seed, crowd

    def __iter__(self):
        seed = self.seed
        while True:
            rng = np.random.default_rng(seed)
            picture, boxes, points = self.draw(rng)
            yield torch.from_numpy(np.asarray(picture)[:, :, ::-1].transpose(2, 0, 1).copy()), *targets(boxes, points)
            seed += 1

    def draw(self, rng):
        """A picture, boxes ``[F, 4]`` as left, top, right, bottom, and landmarks ``[F, 5, 2]``."""
        canvas = self.background(rng)
        boxes, points, taken = [], [], []
        for _ in range(rng.integers(0, self.crowd + 1)):
            eyes = math.exp(rng.uniform(math.log(5), math.log(85)))
            side = eyes * 3.2
            for _ in range(8):
                x, y = rng.uniform(0.3 * side, CANVAS - 0.3 * side, 2) if side < CANVAS * 1.4 else (128, 118)
                room = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
                if not any(room[0] < r[2] and r[0] < room[2] and room[1] < r[3] and r[1] < room[3] for r in taken):
                    break
            else:
                continue
            box, marks = self.paste(canvas, eyes, (x, y), rng)
            seen = np.clip(box, 0, CANVAS)
            area = (box[2] - box[0]) * (box[3] - box[1])
            taken.append(room)
            if (seen[2] - seen[0]) * (seen[3] - seen[1]) > 0.55 * area:
                boxes.append(box)
                points.append(marks)
        if rng.random() < 0.15 and boxes:
            self.occlude(canvas, boxes[rng.integers(len(boxes))], rng)
        return self.develop(canvas, rng), np.array(boxes).reshape(-1, 4), np.array(points).reshape(-1, 5, 2)

    def background(self, rng):
        """Small pictures without people, enlarged to any size, over each other."""
        canvas = Image.new("RGB", (CANVAS, CANVAS), tuple(rng.integers(0, 256, 3).tolist()))
        for _ in range(rng.integers(1, 14)):
            thing = Image.fromarray(self.objects[rng.integers(len(self.objects))])
            size = int(math.exp(rng.uniform(math.log(24), math.log(360))))
            thing = thing.resize((size, int(size * rng.uniform(0.6, 1.6))),
                                 rng.choice([Image.Resampling.BICUBIC, Image.Resampling.NEAREST], p=[0.85, 0.15]))
            canvas.paste(thing, tuple(rng.integers(-size // 2, CANVAS, 2).tolist()))
        for _ in range(rng.integers(0, 5)):
            # Clothes: what is below a face.
            pictures, pick, _ = self.people[0]
            picture = Image.fromarray(pictures[pick[rng.integers(len(pick))]])
            part = picture.crop((60, 196, 190, 246))
            size = rng.uniform(0.4, 2.5)
            part = part.resize((int(part.width * size), int(part.height * size)))
            if rng.random() < 0.5:
                part = part.rotate(90 * rng.integers(1, 4), expand=True)
            canvas.paste(part, tuple(rng.integers(-60, CANVAS, 2).tolist()))
        if rng.random() < 0.4:
            pen = ImageDraw.Draw(canvas)
            for _ in range(rng.integers(1, 10)):
                a = rng.integers(0, CANVAS, 4).tolist()
                shape = [min(a[0], a[2]), min(a[1], a[3]), max(a[0], a[2]), max(a[1], a[3])]
                colour = tuple(rng.integers(0, 256, 3).tolist())
                rng.choice([pen.ellipse, pen.rectangle])(shape, fill=colour if rng.random() < 0.6 else None, outline=colour)
        return canvas

    def paste(self, canvas, eyes, centre, rng):
        pictures, pick, marks = self.people[0 if rng.random() < 0.7 else 1]
        picture = Image.fromarray(pictures[pick[rng.integers(len(pick))]])
        marks = marks.copy()
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            marks[:, 0] = picture.width - 1 - marks[:, 0]
            marks = marks[[1, 0, 2, 4, 3]]
        picture = relit(picture, rng)
        scale = eyes / (marks[1, 0] - marks[0, 0])
        angle = math.radians(rng.normal(0, 10) if rng.random() < 0.85 else rng.uniform(-50, 50))
        wide, high = scale * rng.uniform(0.92, 1.08), scale * rng.uniform(0.92, 1.08)
        turn = np.array(((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))) * (wide, high)
        middle = marks.mean(0)
        matrix = np.column_stack((turn, np.array(centre) - turn @ middle))
        mask = self.mask(picture, marks, rng)
        layer = faces.warped(picture, matrix, CANVAS)
        canvas.paste(layer, (0, 0), faces.warped(mask, matrix, CANVAS))
        # The box holds the turned ellipse that the upright box holds.
        between, span = (marks[0] + marks[1]) / 2, marks[1, 0] - marks[0, 0]
        half = span * np.array(((BOX[2] - BOX[0]) / 2, (BOX[3] - BOX[1]) / 2))
        heart = turn @ (between + span * np.array(((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2))) + matrix[:, 2]
        reach = np.sqrt(((turn * half) ** 2).sum(1))
        return np.concatenate((heart - reach, heart + reach)), marks @ turn.T + matrix[:, 2]

    def mask(self, picture, marks, rng):
        """What of the picture is pasted: the head, a rectangle around it, or all of it."""
        mask = Image.new("L", picture.size, 0)
        pen = ImageDraw.Draw(mask)
        span, (x, y) = marks[1, 0] - marks[0, 0], marks.mean(0)
        how = rng.random()
        if how < 0.3:
            w, h = span * rng.uniform(1.35, 1.8), span * rng.uniform(1.9, 2.4)
            pen.ellipse((x - w, y - h * 1.05, x + w, y + h * 0.9), fill=255)
            return mask.filter(ImageFilter.GaussianBlur(float(span * rng.uniform(0.02, 0.15))))
        reach = span * rng.uniform(1.7, 3.4, 4) if how < 0.7 else np.full(4, 1e3)
        inner = (max(2, x - reach[0]), max(2, y - reach[1] * 1.1), min(picture.width - 3, x + reach[2]),
                 min(picture.height - 3, y + reach[3]))
        pen.rectangle(inner, fill=255)
        # The alignment of LFW left black corners.
        lit = np.asarray(picture.convert("L").filter(ImageFilter.MaxFilter(5))) > 4
        across = np.arange(picture.width)
        near = (across[None, :] - x) ** 2 + (across[:, None] - y) ** 2 < (2.2 * span) ** 2
        return Image.fromarray(np.asarray(mask) * (lit | near))

    @staticmethod
    def occlude(canvas, box, rng):
        w, h = box[2] - box[0], box[3] - box[1]
        pen = ImageDraw.Draw(canvas)
        x, y = box[0] + w * rng.uniform(-0.2, 0.9), box[1] + h * rng.choice([rng.uniform(-0.3, 0.0), rng.uniform(0.7, 0.9)])
        pen.rectangle((x, y, x + w * rng.uniform(0.2, 0.6), y + h * rng.uniform(0.2, 0.35)),
                      fill=tuple(rng.integers(0, 256, 3).tolist()))

    @staticmethod
    def develop(canvas, rng):
        """Light, focus, noise and compression of the whole."""
        canvas = relit(canvas, rng)
        if rng.random() < 0.25:
            canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6)))
        if rng.random() < 0.3:
            noisy = np.asarray(canvas, np.float32) + rng.normal(0, rng.uniform(2, 16), (CANVAS, CANVAS, 1 if rng.random() < 0.5 else 3))
            canvas = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        if rng.random() < 0.5:
            file = io.BytesIO()
            canvas.save(file, "JPEG", quality=int(rng.integers(25, 95)))
            canvas = Image.open(file).convert("RGB")
        return canvas


def relit(picture, rng):
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.5:
            picture = change(picture).enhance(rng.uniform(0.5, 1.5))
    return picture.convert("L").convert("RGB") if rng.random() < 0.06 else picture


def targets(boxes, points):
    """Of all cells of all strides: kind ``[P]`` (1 a face, 0 none, -1 not judged), box ``[P,4]``, landmarks ``[P,10]``."""
    kinds, places, marks = [], [], []
    sizes = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    for stride, (low, high) in zip(STRIDES, RANGES):
        n = CANVAS // stride
        kind, place, mark = np.zeros((n, n), np.int64), np.zeros((n, n, 4), np.float32), np.zeros((n, n, 10), np.float32)
        middles = (np.arange(n) + 0.5) * stride
        for box, point, size in zip(boxes, points, sizes):
            cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            dx, dy = np.abs(middles[None, :] - cx), np.abs(middles[:, None] - cy)
            kind[(dx < (box[2] - box[0]) * 0.3) & (dy < (box[3] - box[1]) * 0.3) & (kind == 0)] = -1
            if low <= size < high:
                near = (dx < stride) & (dy < stride)
                kind[near], place[near], mark[near] = 1, box, point.ravel()
        kinds.append(kind.ravel())
        places.append(place.reshape(-1, 4))
        marks.append(mark.reshape(-1, 10))
    return tuple(torch.from_numpy(np.concatenate(x)) for x in (kinds, places, marks))


# ------------------------------------------------------------- the network


def layer(cin, cout, stride=1, kernel=3):
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout), nn.ReLU())


class FaceDetector(nn.Module):
    """BGR pictures in 0 to 255, sides multiples of 32, to cls, obj, bbox and kps of strides 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(layer(3, 16, 2), layer(16, 24, 2), layer(24, 24))
        self.down = nn.ModuleList([nn.Sequential(layer(24, 48, 2), layer(48, 48), layer(48, 48)),
                                   nn.Sequential(layer(48, 80, 2), layer(80, 80), layer(80, 80)),
                                   nn.Sequential(layer(80, 112, 2), layer(112, 112), layer(112, 112))])
        self.side = nn.ModuleList([layer(c, 48, kernel=1) for c in (48, 80, 112)])
        self.smooth = nn.ModuleList([layer(48, 48) for _ in STRIDES])
        self.heads = nn.ModuleList([nn.Conv2d(48, 16, 1) for _ in STRIDES])
        for head in self.heads:
            nn.init.constant_(head.bias, 0)
            nn.init.constant_(head.bias[1:2], -4)

    def raw(self, x):
        x, maps = self.stem(x / 64 - 2), []
        for down in self.down:
            x = down(x)
            maps.append(x)
        above, outputs = None, []
        for i in (2, 1, 0):
            here = self.side[i](maps[i])
            if above is not None:
                here = here + F.interpolate(above, scale_factor=2, mode="nearest")
            above = self.smooth[i](here)
            outputs.insert(0, self.heads[i](above).flatten(2).transpose(1, 2))
        return outputs

    def forward(self, x):
        """The twelve outputs of the layout: cls of the three strides, then obj, bbox and kps."""
        raw = self.raw(x)
        return (*(r[..., 0:1].sigmoid() for r in raw), *(r[..., 1:2].sigmoid() for r in raw),
                *(r[..., 2:6] for r in raw), *(r[..., 6:16] for r in raw))


def grid(size, dtype=torch.float32):
    """Column, row and stride of every cell, ``[P, 3]``."""
    parts = []
    for stride in STRIDES:
        n = size // stride
        row, col = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        parts.append(torch.stack((col.flatten(), row.flatten(), torch.full((n * n,), stride)), 1))
    return torch.cat(parts).to(dtype)


def decoded(raw, cells):
    """Boxes ``[…, P, 4]`` as left, top, right, bottom, and landmarks ``[…, P, 10]`` in pixels."""
    stride = cells[:, 2:3]
    middle = (cells[:, :2] + raw[..., 2:4]) * stride
    half = raw[..., 4:6].clamp(-6, 6).exp() * stride / 2
    marks = (cells[:, :2].repeat(1, 5) + raw[..., 6:16]) * stride
    return torch.cat((middle - half, middle + half), -1), marks


def overlap(a, b):
    """IoU, and what GIoU takes off it, of boxes row by row."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return inner / union, (hull - union) / hull


def loss_of(raw, cells, kind, place, mark):
    raw = torch.cat(raw, 1)
    hit = kind == 1
    count = hit.sum().clamp_min(1)
    judged = kind >= 0
    p, y = raw[..., 1][judged], hit[judged].float()
    focal = F.binary_cross_entropy_with_logits(p, y, reduction="none") * (y - p.sigmoid()).abs() ** 2
    total = focal.sum() / count * 4
    if hit.any():
        boxes, marks = decoded(raw, cells)
        iou, off = overlap(boxes[hit], place[hit])
        size = (place[hit][:, 2:] - place[hit][:, :2]).prod(1).sqrt()[:, None]
        total = total + (1 - iou + off).mean() * 2
        total = total + F.smooth_l1_loss(marks[hit] / size, mark[hit] / size, beta=0.05) * 12
        total = total + F.binary_cross_entropy_with_logits(raw[..., 0][hit], iou.detach().clamp(0, 1))
    return total


# ------------------------------------------------------------ the training


def train(args):
    torch.manual_seed(args.seed)
    network = FaceDetector().to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(network.parameters(), args.rate, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, args.rate, total_steps=args.steps, pct_start=0.1)
    path, first = args.work / "face-detector.pt", 0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        network.load_state_dict(kept["network"])
        opt.load_state_dict(kept["optimizer"])
        plan.load_state_dict(kept["plan"])
        first = kept["step"]
    if first < args.steps:
        # A canvas's seed is its number: going on after a stop draws what would have been drawn.
        source = Canvases(args, test=False, seed=1_000_000 * args.seed + first * args.batch)
        loader = iter(torch.utils.data.DataLoader(source, args.batch, num_workers=1, prefetch_factor=3))
        cells, start, total = grid(CANVAS), time.time(), 0.0
        network.train()
        for step in range(first, args.steps):
            picture, *target = next(loader)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                raw = network.raw(picture.float().contiguous(memory_format=torch.channels_last))
            loss = loss_of([r.float() for r in raw], cells, *target)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            opt.step()
            plan.step()
            total += loss.item()
            if step % 100 == 99 or step == args.steps - 1:
                print(f"step {step + 1}/{args.steps}  loss {total / 100:.3f}  {time.time() - start:.0f} s", flush=True)
                total = 0.0
                torch.save({"network": network.state_dict(), "optimizer": opt.state_dict(),
                            "plan": plan.state_dict(), "step": step + 1}, path.with_suffix(".part"))
                os.replace(path.with_suffix(".part"), path)
    return network.eval()


def export(network, path):
    names = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
    axes = {"input": {0: "N", 2: "H", 3: "W"}} | {n: {0: "N", 1: "P"} for n in names}
    networks.write_onnx(network, (torch.zeros(2, 3, CANVAS, CANVAS),), path, ["input"], names, axes)


# --------------------------------------------------------- the measurement


def detect(network, pictures, threshold=0.5):
    """Faces of ``[N, 3, H, H]`` BGR pictures: of each, boxes ``[F,4]``, landmarks ``[F,5,2]``, scores ``[F]``."""
    with torch.no_grad():
        raw = torch.cat(network.raw(pictures.float()), 1)
    boxes, marks = decoded(raw, grid(pictures.shape[-1]))
    scores = (raw[..., 0].sigmoid() * raw[..., 1].sigmoid()).sqrt()
    found = []
    for box, mark, score in zip(boxes, marks, scores):
        keep = []
        for i in score.argsort(descending=True).tolist():
            if score[i] < threshold:
                break
            if not keep or overlap(box[i].expand(len(keep), 4), box[keep])[0].max() < 0.3:
                keep.append(i)
        found.append((box[keep], mark[keep].view(-1, 5, 2), score[keep]))
    return found


def measure(args, network):
    source = Canvases(args, test=True, seed=77_000_000)
    rows = {"8 to 16": [0, 0], "16 to 32": [0, 0], "32 to 64": [0, 0], "64 to 300": [0, 0]}
    false, canvases, errors = 0, 600, []
    for i in range(canvases):
        picture, boxes, points = source.draw(np.random.default_rng(source.seed + i))
        tensor = torch.from_numpy(np.asarray(picture)[:, :, ::-1].transpose(2, 0, 1).copy())[None]
        found, marks, _ = detect(network, tensor)[0]
        used = set()
        for box, point in zip(boxes, points):
            size = float(np.sqrt(np.prod(box[2:] - box[:2])))
            bucket = next((k for k in rows if float(k.split()[0]) <= size < float(k.split()[2])), None)
            ious = overlap(found, torch.tensor(box).float().expand(len(found), 4))[0] if len(found) else torch.zeros(1)
            best = int(ious.argmax())
            ok = ious[best] >= 0.5
            if ok:
                used.add(best)
                errors.append(float(np.linalg.norm(marks[best].numpy() - point, axis=1).mean()
                                    / np.linalg.norm(point[1] - point[0])))
            if bucket:
                rows[bucket][0] += int(ok)
                rows[bucket][1] += 1
        false += len(found) - len(used)
    print(f"\n{canvases} canvases of held-out people, threshold 0.5")
    for name, (hit, of) in rows.items():
        print(f"faces of {name} pixels: recall {hit / max(1, of):.3f} ({of})")
    print(f"false finds a canvas {false / canvases:.3f}; landmark error {np.mean(errors):.3f} of the eyes' distance")
    for kind in faces.SETS:
        pictures, names = faces.load(args.data, kind, args.work)
        pick = [i for i, name in enumerate(names) if faces.held_out(name)]
        one = several = 0
        for i in range(0, len(pick), 32):
            batch = torch.from_numpy(pictures[pick[i : i + 32]][:, :, :, ::-1].transpose(0, 3, 1, 2).copy())
            batch = F.pad(batch, (0, CANVAS - batch.shape[3], 0, CANVAS - batch.shape[2]))
            for boxes, _, _ in detect(network, batch):
                middle = (boxes[:, :2] + boxes[:, 2:]) / 2
                inner = ((middle - 128).abs() < 64).all(1)
                one += int(inner.any())
                several += int(len(boxes) > 1)
        print(f"{kind}: a face in the middle of {one / len(pick):.3f} of {len(pick)} whole pictures, "
              f"others as well in {several / len(pick):.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--no-bf16", dest="bf16", action="store_false")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    network = train(args)
    export(network, args.out / "faces.onnx")
    print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f} M parameters")
    measure(args, network)


if __name__ == "__main__":
    main()
