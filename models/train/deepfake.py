"""Train the small deepfake detector on real faces and fakes blended from them.

    python models/train/deepfake.py --data DIR --work DIR --out models/deepfake

Needs ``faces.zip``, and ``face-detector.pt`` of ``face_detector.py`` in the same
``--work``. After GenD (Yermakov et al., WACV 2026) as far as it applies to a
network without pretraining: L2-normalised features, a linear layer to two
logits, cross-entropy with the alignment and uniformity losses on the
hypersphere, and batches of pairs, a real face and a fake made from the same
picture. First blended fakes alone are learnt from, and what that is worth on the
archive's own fakes is measured; then a few of these come in beside them. A
checkpoint an epoch; the same command run again goes on.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import blended
import face_detector
import faces
import networks

SIZE = 128
# Crops are kept wider, so that a training picture can be shifted and turned without a border.
WIDE = 160
REAL = ("lfw/real", "ciplab/real", "ffhq-stylegan2/real")
# The archive's own fakes, the real pictures of the same source, and how many of each a batch of the second part has.
# None of StyleGAN2's: they can be told by how the files were saved, whatever is in them.
OTHER = (("ciplab/real", "ciplab/fake", 8), ("ffhq-stylegan2/real", "ffhq-stylegan2/fake", 0))
MEAN, DEVIATION = 0.45, 0.25


# ---------------------------------------------------------------- the crops


def crops(args, kind, detector):
    """``(crops uint8 [N, 3, WIDE, WIDE], names)`` of the faces that the detector finds in a set, aligned."""
    kept = args.work / f"crops-{kind.replace('/', '-')}.npz"
    if kept.exists():
        with np.load(kept) as arrays:
            return arrays["crops"], arrays["names"].tolist()
    pictures, names = faces.load(args.data, kind, args.work)
    target = faces.crop_points(SIZE) + (WIDE - SIZE) / 2
    found, chosen = [], []
    for i in range(0, len(names), 32):
        batch = torch.from_numpy(pictures[i : i + 32][..., ::-1].transpose(0, 3, 1, 2).copy())
        edge = face_detector.CANVAS - batch.shape[-1]
        batch = F.pad(batch, (0, edge, 0, edge))
        for j, (boxes, marks, scores) in enumerate(face_detector.detect(detector, batch)):
            if not len(boxes):
                continue
            middle = ((boxes[:, :2] + boxes[:, 2:]) / 2 - 125).norm(dim=1)
            best = int((middle - 60 * scores).argmin())
            if middle[best] > 70:
                continue
            matrix = faces.similarity(marks[best].numpy(), target)
            crop = faces.warped(Image.fromarray(pictures[i + j]), matrix, WIDE)
            found.append(np.asarray(crop).transpose(2, 0, 1))
            chosen.append(names[i + j])
    found = np.stack(found)
    print(f"{kind}: {len(found)} faces in {len(names)} pictures", flush=True)
    part = kept.with_suffix(".part.npz")
    np.savez(part, crops=found, names=np.array(chosen))
    os.replace(part, kept)
    return found, chosen


def side(args, kind, detector, test):
    pictures, names = crops(args, kind, detector)
    pick = [i for i, name in enumerate(names) if faces.held_out(name) == test]
    return torch.from_numpy(pictures[pick]), [names[i] for i in pick]


def middle(wide):
    edge = (WIDE - SIZE) // 2
    return wide[..., edge : edge + SIZE, edge : edge + SIZE]


def normalised(pictures):
    return ((pictures - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


# -------------------------------------------------------------- the network


class Step(nn.Module):
    """Two 3x3 convolutions beside a way through."""

    def __init__(self, width):
        super().__init__()
        self.one, self.two = face_detector.layer(width, width), face_detector.layer(width, width)
        self.two[2] = nn.Identity()

    def forward(self, x):
        return F.relu(x + self.two(self.one(x)))


class Detector(nn.Module):
    """Aligned faces ``[N, 3, 128, 128]`` to logits ``[N, 2]``, real and fake, of features on the sphere."""

    WIDTHS, STEPS = (24, 48, 96, 160), (1, 2, 2, 1)

    def __init__(self):
        super().__init__()
        layers, cin = [face_detector.layer(3, self.WIDTHS[0], 2)], self.WIDTHS[0]
        for width, steps in zip(self.WIDTHS, self.STEPS):
            if width != cin:
                layers.append(face_detector.layer(cin, width, 2))
            layers += [Step(width) for _ in range(steps)]
            cin = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(2 * cin, 2)
        # Which part of each field of the last map was laid over: learnt from in the training alone.
        self.where = nn.Conv2d(cin, 1, 1)
        nn.init.normal_(self.head.weight, std=2 / (2 * cin) ** 0.5)

    def forward(self, x):
        pooled = self.pooled(self.body(x))
        # A face says as much in the mirror.
        return self.head(F.normalize(pooled + self.pooled(self.body(x.flip(-1)))))

    @staticmethod
    def pooled(maps):
        """Mean and deviation over the picture, ``[N, 2 C]``: a blended face is one that is not the same all over."""
        mean = maps.mean((2, 3), keepdim=True)
        spread = ((maps - mean).square().mean((2, 3)) + 1e-4).sqrt()
        return torch.cat((mean.flatten(1), spread), 1)


def sphere_losses(features, labels):
    """Alignment, the mean squared distance within a class, and uniformity (Wang and Isola, ICML 2020)."""
    distance = torch.cdist(features, features).square()
    same = (labels[:, None] == labels[None, :]) & ~torch.eye(len(labels), dtype=torch.bool)
    other = torch.triu(torch.ones_like(same), 1)
    return distance[same].mean(), distance[other].mul(-2).exp().mean().log()


# ------------------------------------------------------------- the training


def draw_pairs(real, others, gen, more=()):
    """Real faces ``[N]`` and a fake of each ``[N]``, as they would come, and which part of each was laid over; ``more``
    real and fake ones between, of which that is not known: NaN."""
    kinds = torch.tensor((0, 0, 0, 0, 0, 0, 1, 1, 2, 2))[torch.randint(10, (len(real),), generator=gen)]
    real, fake, mask = blended.fakes(real, others, kinds, gen)
    unknown = torch.full((len(more[0]) if more else 0, 1, WIDE, WIDE), torch.nan)
    both = torch.cat((real, *more[:1], fake, *more[1:]))
    mask = torch.cat((torch.zeros_like(mask), unknown, mask, unknown))
    both = torch.cat((blended.developed(both, gen, repeat=2), mask), 1)
    turned = blended.chance(gen, 0.5, len(both) // 2).repeat(2)
    both = torch.where(blended.view(turned), both.flip(-1), both)
    both = middle(blended.warp(both, gen, (0.03, 0.03), 0.07, 5, repeat=2))
    return blended.compressed(both[:, :3], gen, 0.2, repeat=2), both[:, 3:]


def train(args, network, real, part, epochs, rate, others=()):
    opt = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05)
    steps = len(real) // args.pairs
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, rate, total_steps=epochs * steps, pct_start=0.15)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True)
    path, first = args.work / f"{part}.pt", 0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        opt.load_state_dict(kept["optimizer"])
        plan.load_state_dict(kept["plan"])
        first = kept["epoch"]
    for epoch in range(first, epochs):
        start, total, hits, count = time.time(), 0.0, 0, 0
        pairs = Pairs(args, real, others, epoch)
        loader = iter(torch.utils.data.DataLoader(pairs, None, num_workers=1, prefetch_factor=4))
        network.train()
        for _ in range(steps):
            pictures, masks = next(loader)
            labels = torch.arange(2).repeat_interleave(len(pictures) // 2)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                maps = network.body(normalised(pictures.float() / 255))
            maps = maps.float()
            features = F.normalize(network.pooled(maps))
            logits = network.head(features)
            align, uniform = sphere_losses(features, labels)
            loss = F.cross_entropy(logits, labels) + 0.1 * align + 0.05 * uniform
            known = ~masks.isnan()
            loss = loss + F.binary_cross_entropy_with_logits(network.where(maps)[known], masks[known])
            opt.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            opt.step()
            plan.step()
            average.update_parameters(network)
            total += loss.item()
            hits += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        print(f"{part}: epoch {epoch + 1}/{epochs}  loss {total / steps:.4f}  right {hits / count:.4f}"
              f"  {time.time() - start:.0f} s", flush=True)
        torch.save({"network": network.state_dict(), "average": average.state_dict(), "optimizer": opt.state_dict(),
                    "plan": plan.state_dict(), "epoch": epoch + 1}, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    network.load_state_dict(average.module.state_dict())
    return network.eval()


class Pairs(torch.utils.data.IterableDataset):
    """An epoch's batches, uint8 ``[2N, 3, 128, 128]``, the real faces first, and what was laid over in each field of
    the network's last map, ``[2N, 1, 8, 8]``; seeded by epoch."""

    def __init__(self, args, real, others, epoch):
        super().__init__()
        self.args, self.real, self.others, self.epoch = args, real, others, epoch

    def __iter__(self):
        gen = torch.Generator().manual_seed(self.args.seed * 7_919 + self.epoch)
        order = torch.randperm(len(self.real), generator=gen)
        for i in range(0, len(order) - self.args.pairs + 1, self.args.pairs):
            pick = order[i : i + self.args.pairs]
            # The other face of a swap comes from anywhere.
            swaps = self.real[torch.randint(len(self.real), (len(pick),), generator=gen)]
            more = [torch.cat([self.some(side[k], side[2], gen) for side in self.others])
                    for k in range(2)] if self.others else ()
            pictures, masks = draw_pairs(self.real[pick].float() / 255, swaps.float() / 255, gen, more)
            yield (pictures * 255).round().to(torch.uint8), F.avg_pool2d(masks, SIZE // 8)

    @staticmethod
    def some(faces, count, gen):
        """Some of ``faces``, saved once more, since real and fake ones of the archive were not saved alike."""
        pick = faces[torch.randint(len(faces), (count,), generator=gen)].float() / 255
        quality = torch.randint(60, 92, (count,), generator=gen).tolist()
        return torch.stack([blended.jpeg(p, q) for p, q in zip(pick, quality)])


# ---------------------------------------------------------- the measurement


@torch.no_grad()
def logits_of(network, pictures):
    return torch.cat([network(normalised(part)) for part in pictures.split(64)])


def margins(network, pictures):
    """Logit of fake less logit of real, ``[N]``."""
    logits = logits_of(network, pictures)
    return (logits[:, 1] - logits[:, 0]).double().numpy()


def auroc(real, fake):
    """The chance that a fake scores above a real face; a tie counts half."""
    order = np.sort(real)
    below = np.searchsorted(order, fake, "left") + np.searchsorted(order, fake, "right")
    return below.mean() / 2 / len(real)


def ece(probability, label, bins=15):
    """Expected calibration error of the probability of fake, in bins of equal width."""
    at = np.minimum((probability * bins).astype(int), bins - 1)
    return sum(abs(probability[at == b].mean() - label[at == b].mean()) * (at == b).mean()
               for b in range(bins) if (at == b).any())


def plain_pairs(wide, kind, seed):
    """What fakes of one kind were laid over, and the fakes, from wide crops in [0, 1] of these crops' own people;
    neither turned nor developed."""
    gen = torch.Generator().manual_seed(seed)
    others = wide[torch.randperm(len(wide), generator=gen)]
    kinds = torch.full((len(wide),), blended.KINDS.index(kind))
    parts = [blended.fakes(a, b, k, gen) for a, b, k in zip(wide.split(64), others.split(64), kinds.split(64))]
    return torch.cat([target for target, _, _ in parts]), torch.cat([fake for _, fake, _ in parts])


def once_more(pictures, quality=90):
    """Saved again as JPEG, both classes alike, so that compression tells nothing."""
    return torch.stack([blended.jpeg(p, quality) for p in pictures])


def measured(args, network, detector):
    """AUROC on faces of people that were never seen, by set and kind of fake."""
    rows, everything = {}, {"real": [], "fake": []}
    for kind in REAL:
        wide = side(args, kind, detector, True)[0].float() / 255
        for how in blended.KINDS:
            real, fake = (margins(network, once_more(middle(x))) for x in plain_pairs(wide, how, 7))
            rows[f"{kind}: {how}-blended"] = (auroc(real, fake), len(real), len(fake))
            if how == "self":
                everything["real"].append(real)
                everything["fake"].append(fake)
    for real_kind, fake_kind, learnt in OTHER:
        real = margins(network, once_more(middle(side(args, real_kind, detector, True)[0].float() / 255)))
        pictures, names = side(args, fake_kind, detector, True)
        if not learnt:
            more, others = side(args, fake_kind, detector, False)
            pictures, names = torch.cat((pictures, more)), names + others
        fake = margins(network, once_more(middle(pictures.float() / 255)))
        rows[fake_kind] = (auroc(real, fake), len(real), len(fake))
        for level in ("easy", "mid", "hard") if fake_kind.startswith("ciplab") else ():
            pick = np.array([Path(name).name.startswith(level) for name in names])
            rows[f"{fake_kind}, {level}"] = (auroc(real, fake[pick]), len(real), int(pick.sum()))
    real, fake = (np.concatenate(everything[k]) for k in ("real", "fake"))
    rows["all sets: self-blended"] = (auroc(real, fake), len(real), len(fake))
    return rows, real, fake


def show(rows):
    for name, (value, reals, fakes) in rows.items():
        print(f"{name:42} AUROC {value:.3f}  ({reals} real, {fakes} fake)", flush=True)


def calibrate(args, network, kept_back):
    """Fits temperature and offset on faces of the training side that were kept back; returns the margins."""
    gen = torch.Generator().manual_seed(99)
    wide, real, fake = kept_back.float() / 255, [], []
    for _ in range(2):
        # Half as after a long way, half as after a short one.
        others = wide[torch.randperm(len(wide), generator=gen)]
        far = margins(network, draw_pairs(wide, others, gen)[0])
        near = [margins(network, once_more(middle(x)))
                for x in plain_pairs(wide, "self", int(torch.randint(10_000, (1,), generator=gen)))]
        real += [far[: len(wide)], near[0]]
        fake += [far[len(wide) :], near[1]]
    real, fake = np.concatenate(real), np.concatenate(fake)
    x = torch.tensor(np.concatenate((real, fake)))
    y = torch.tensor(np.concatenate((np.zeros_like(real), np.ones_like(fake))))
    fit = torch.tensor((1.0, 0.0), dtype=torch.float64, requires_grad=True)
    opt = torch.optim.LBFGS([fit], max_iter=100)

    def closure():
        opt.zero_grad()
        loss = F.binary_cross_entropy_with_logits(fit[0] * x + fit[1], y)
        loss.backward()
        return loss

    opt.step(closure)
    scale, offset = fit.detach().tolist()
    with torch.no_grad():
        network.head.weight.mul_(scale)
        network.head.bias.mul_(scale).add_(torch.tensor((-offset / 2, offset / 2)))
    return scale * real + offset, scale * fake + offset


def export(network, path):
    networks.write_onnx(network, (torch.zeros(2, 3, SIZE, SIZE),), path, ["image"], ["logits"],
                        {"image": {0: "N"}, "logits": {0: "N"}})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--more-epochs", type=int, default=20)
    parser.add_argument("--more-rate", type=float, default=1.2e-3)
    parser.add_argument("--no-bf16", dest="bf16", action="store_false")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    detector = face_detector.FaceDetector()
    detector.load_state_dict(torch.load(args.work / "face-detector.pt", weights_only=True)["network"])
    detector.eval()
    real = torch.cat([side(args, kind, detector, False)[0] for kind in REAL])
    # A tenth is kept back to calibrate with.
    back = torch.arange(len(real)) % 10 == 0
    network = Detector().to(memory_format=torch.channels_last)
    print(f"{len(real)} real faces, {sum(p.numel() for p in network.parameters()) / 1e6:.3f} M parameters", flush=True)
    network = train(args, network, real[~back], "blended", args.epochs, args.rate)
    print("blended fakes alone")
    show(measured(args, network, detector)[0])
    others = [(side(args, reals, detector, False)[0], side(args, fakes, detector, False)[0], count)
              for reals, fakes, count in OTHER if count]
    network = train(args, network, real[~back], "deepfake", args.more_epochs, args.more_rate, others)
    held_real, held_fake = calibrate(args, network, real[back])
    rows, test_real, test_fake = measured(args, network, detector)
    print("with fakes of the archive")
    show(rows)
    probability = 1 / (1 + np.exp(-np.concatenate((test_real, test_fake))))
    label = np.concatenate((np.zeros_like(test_real), np.ones_like(test_fake)))
    error = ece(probability, label)
    # Sure of fake: one real face in twenty of those kept back; sure of real: one fake in seven of those.
    low, high = (float(1 / (1 + np.exp(-q))) for q in (np.quantile(held_fake, 1 / 7), np.quantile(held_real, 0.95)))
    print(f"expected calibration error {error:.3f}; unsure from {low:.3f} to {high:.3f}")
    for name, values in (("real", test_real), ("self-blended", test_fake)):
        p = 1 / (1 + np.exp(-values))
        print(f"{name}: said real {np.mean(p < low):.3f}, unsure {np.mean((p >= low) & (p < high)):.3f}, "
              f"fake {np.mean(p >= high):.3f}; above one half {np.mean(p >= 0.5):.3f}")
    export(network, args.out / "classifier.onnx")
    (args.work / "deepfake.json").write_text(json.dumps({"auroc": {k: v[0] for k, v in rows.items()}, "ece": error,
                                                         "unsure": (low, high)}, indent=1))


if __name__ == "__main__":
    main()
