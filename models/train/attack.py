"""Attacks on image classifiers, at ``eps`` in every pixel.

    python models/train/attack.py pgd  --data DIR --models models/cifar10 --target mixing-network
    python models/train/attack.py apgd --data DIR --models models/cifar10 --target robust
    python models/train/attack.py square --data DIR --url http://127.0.0.1:8080 --model cifar10

``pgd`` (Madry et al., ICLR 2018) and ``apgd`` (APGD-CE, Croce and Hein, ICML
2020) follow the gradient of the whole target, the mixing network included: the
attacker knows everything. ``square`` (Andriushchenko et al., ECCV 2020) sees
only what a server answers over HTTP.

``--save DIR`` writes the attacked images as ``<class>/NNNN.png``, rounded to 8
bits towards the clean ones so that eps holds; ``--save-clean DIR`` writes the
clean ones under the same names.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import cifar10
import data
import mixture
import square

MEAN = torch.tensor(data.MEAN).view(1, 3, 1, 1)
STD = torch.tensor(data.STD).view(1, 3, 1, 1)


def to_tensors(images, labels):
    """Normalised images ``[N,3,32,32]`` and labels ``[N]`` of arrays."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (x - MEAN) / STD, torch.from_numpy(labels)


def to_images(x, clean):
    """8-bit images of normalised ones, rounded towards the ``clean`` images."""
    grey = ((x * STD + MEAN) * 255).permute(0, 2, 3, 1).double().numpy()
    step = grey - clean
    return (clean + np.sign(step) * np.floor(np.abs(step) + 1e-3)).astype(np.uint8)


def inside(x):
    """Normalised images whose pixels are held in [0, 1]."""
    return torch.maximum(torch.minimum(x, (1 - MEAN) / STD), -MEAN / STD)


def near(x, clean, eps):
    """Normalised images within ``eps`` of the clean ones, pixels in [0, 1]."""
    return inside(torch.maximum(torch.minimum(x, clean + eps), clean - eps))


@torch.no_grad()
def right(model, x, y, batch=500):
    """For each image, whether the model is right."""
    return torch.cat([model(x[i : i + batch]).argmax(1) == y[i : i + batch]
                      for i in range(0, len(x), batch)])


def accuracy(model, x, y, batch=500):
    return right(model, x, y, batch).double().mean().item()


def gradient_of(model, x, y):
    """Cross-entropy and logits of each image, and the gradient."""
    x = x.detach().requires_grad_()
    out = model(x)
    loss = F.cross_entropy(out, y, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return loss.detach(), out.detach(), gradient


# ------------------------------------------------------------- with gradients


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
            gradient = gradient_of(model, bent, target)[2]
            bent = near(bent + step * gradient.sign(), clean, eps)
        out.append(bent)
    return torch.cat(out)


def apgd(model, x, y, eps, steps=50, seed=0, batch=250):
    """APGD-CE (Croce and Hein, 2020): momentum, and a step that halves for an
    image where the loss stalls. An image that is broken is left as it is."""
    eps = eps / STD
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(x.shape, generator=generator) * 2 - 1
    out = inside(x + noise * eps)
    for i in range(0, len(x), batch):
        part = slice(i, i + batch)
        out[part] = _apgd(model, x[part], y[part], out[part], eps, steps)
    return out


def _apgd(model, clean, y, x, eps, steps):
    result, index = x.clone(), torch.arange(len(x))
    loss, out, gradient = gradient_of(model, x, y)
    # Of each image that still holds; ``top``: the highest loss, where it was
    # met, and the gradient there.
    s = dict(
        clean=clean, y=y, index=index, x=x, before=x, loss=loss, gradient=gradient,
        top=loss, top_x=x, top_gradient=gradient, step=torch.full_like(x[:, :1, :1, :1], 2.0),
        rises=torch.zeros_like(loss), checked=loss, halved=torch.ones_like(y, dtype=torch.bool),
    )
    span = since = max(1, round(0.22 * steps))
    for k in range(steps + 1):
        holds = out.argmax(1) == s["y"]
        result[s["index"]] = _where(holds, s["top_x"], s["x"])
        s = {name: value[holds] for name, value in s.items()}
        if k == steps or not len(s["y"]):
            break
        x, share = s["x"], 0.75 if k else 1.0
        to = near(x + s["step"] * eps * s["gradient"].sign(), s["clean"], eps)
        to = near(x + share * (to - x) + (1 - share) * (x - s["before"]), s["clean"], eps)
        s["before"], s["x"] = x, to
        loss, out, s["gradient"] = gradient_of(model, to, s["y"])
        s["rises"] = s["rises"] + (loss > s["loss"])
        s["loss"] = loss
        higher = loss > s["top"]
        for name in ("x", "gradient"):
            s["top_" + name] = _where(higher, s[name], s["top_" + name])
        s["top"] = torch.maximum(loss, s["top"])
        since -= 1
        if not since:
            stalls = (s["rises"] < 0.75 * span) | (~s["halved"] & (s["top"] <= s["checked"]))
            stalls &= out.argmax(1) == s["y"]
            s["step"] = _where(stalls, s["step"] / 2, s["step"])
            for name in ("x", "gradient"):
                s[name] = _where(stalls, s["top_" + name], s[name])
            s["rises"], s["checked"], s["halved"] = s["rises"] * 0, s["top"], stalls
            span = since = max(span - max(1, round(0.03 * steps)), max(1, round(0.06 * steps)))
    return result


def _where(mask, a, b):
    return torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b)


# ------------------------------------------------------------ the command line


def pick(args):
    """Every k-th image of a split, so that the classes are even."""
    images, labels = data.load(args.data, "test" if args.split == "test" else "train", args.work)
    if args.split == "held":
        held = cifar10.split(labels, args.held, seed=1)[1]
        images, labels = images[held], labels[held]
    chosen = np.arange(args.count) * len(labels) // args.count
    return images[chosen], labels[chosen]


def save(folder, images, labels):
    for i, (image, label) in enumerate(zip(images, labels)):
        path = folder / data.CLASSES[label] / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(square.png(image))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("attack", choices=("pgd", "apgd", "square"))
    parser.add_argument("--data", type=Path, required=True, help="folder of the zips")
    parser.add_argument("--work", type=Path, help="folder for decoded images")
    parser.add_argument("--split", choices=("test", "held"), default="test",
                        help="held: the train images that the training left out")
    parser.add_argument("--held", type=int, default=2500)
    parser.add_argument("--count", type=int, default=500, help="images")
    parser.add_argument("--eps", type=float, default=8, help="grey levels")
    parser.add_argument("--steps", type=int, help="20, 50 for apgd, 300 queries for square")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder for the attacked images")
    parser.add_argument("--save-clean", type=Path, help="folder for the clean images")
    files = parser.add_argument_group("pgd and apgd")
    files.add_argument("--models", type=Path, default=Path("models/cifar10"))
    files.add_argument("--target", choices=mixture.TARGETS, default="mixing-network")
    files.add_argument("--alpha", type=float, help="of the target fixed")
    files.add_argument("--nonlinear", type=float, nargs=4, default=mixture.NONLINEAR,
                       metavar=("S", "P", "C", "ALPHA"), help="of the target nonlinear")
    files.add_argument("--threads", type=int, default=2)
    server = parser.add_argument_group("square")
    server.add_argument("--url", default="http://127.0.0.1:8080")
    server.add_argument("--model", default="cifar10")
    server.add_argument("--query", default="lame=off", help="options of the request")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images, labels = pick(args)
    eps, steps = args.eps / 255, args.steps or {"pgd": 20, "apgd": 50, "square": 300}[args.attack]

    if args.attack == "square":
        scores = square.Server(args.url, args.model, f"{args.query}&top={len(data.CLASSES)}")
        clean = (square.margin(scores(images), labels) > 0).mean()
        bent, holds, asked = square.attack(scores, images, labels, eps, steps, args.seed)
        print(f"{len(images)} images: clean {clean:.4f}  square, {steps} queries: "
              f"{holds.mean():.4f}  ({asked} queries asked)")
    else:
        model = mixture.load(args.models, args.target, args.alpha, args.nonlinear)
        x, y = to_tensors(images, labels)
        run = pgd if args.attack == "pgd" else apgd
        attacked = run(model, x, y, eps, steps, seed=args.seed)
        bent = to_images(attacked, images)
        print(f"{len(images)} images: clean {accuracy(model, x, y):.4f}  "
              f"{args.attack}, {steps} steps: {accuracy(model, attacked, y):.4f}  "
              f"in 8 bits: {accuracy(model, to_tensors(bent, labels)[0], y):.4f}")
    for folder, kept in ((args.save, bent), (args.save_clean, images)):
        if folder:
            save(folder, kept, labels)


if __name__ == "__main__":
    main()
