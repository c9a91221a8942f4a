"""Train and export the two robust CIFAR-10 classifiers, one command each.

    python models/train/robust.py adversarial --data DIR --work DIR --out models/cifar10
    python models/train/robust.py gaussian --data DIR --work DIR --out models/cifar10

``adversarial`` writes ``robust.onnx``: single-step adversarial training with a
noisy start, at 8/255 in every pixel (Wong, Rice, Kolter, "Fast is better than
free", ICLR 2020; the noise is added to the step and not projected, de Jorge et
al., "Make Some Noise", NeurIPS 2022, which keeps single-step training from
collapsing). ``gaussian`` writes ``gaussian.onnx``: training under Gaussian
noise of deviation 0.25, the base of randomised smoothing (Cohen, Rosenfeld,
Kolter, ICML 2019).

Both continue where they stopped, as ``cifar10.py`` does. Single-step training
can collapse from one epoch to the next: the network learns the one step and
loses every other. So the held-out images are attacked with ten steps after each
epoch, and the training stops with an error where that accuracy breaks down.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

import attack
import cifar10
import data
import networks


class Adversary:
    """``x + noise + eps * sign(gradient at x + noise)``, in [0, 1]."""

    def __init__(self, eps, start, bf16):
        self.eps, self.start, self.bf16 = eps / attack.STD, start, bf16

    def __call__(self, model, x, y, generator):
        noise = (torch.rand(x.shape, generator=generator) * 2 - 1) * self.start * self.eps
        x = attack.inside(x + noise).contiguous(memory_format=torch.channels_last)
        x.requires_grad_()
        # The statistics of the norms are those of the images it learns from.
        kept = {m: m.momentum for m in model.modules() if isinstance(m, networks.ScaleFreeNorm)}
        for module in kept:
            module.momentum = 0.0
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            features = model.features(x)
        loss = F.cross_entropy(model.head(features.float()) * model.logit_scale, y)
        (gradient,) = torch.autograd.grad(loss, x)
        for module, momentum in kept.items():
            module.momentum = momentum
        return attack.inside(x.detach() + self.eps * gradient.sign())


class Noise:
    """Gaussian noise; a picture leaves [0, 1] by it, as it will when sampled."""

    def __init__(self, sigma):
        self.sigma = sigma / attack.STD

    def __call__(self, model, x, y, generator):
        return x + torch.randn(x.shape, generator=generator) * self.sigma


def watch_attacks(images, labels, eps):
    """A line on PGD-10 for each epoch; ends the training where it collapses."""
    x, y = attack.to_tensors(images, labels)
    best = 0.0

    def watch(model):
        nonlocal best
        model.eval()
        bent = attack.pgd(model, x, y, eps, steps=10, seed=0)
        hits = attack.accuracy(model, bent, y)
        if hits < best - 0.15:
            raise SystemExit(f"catastrophic overfitting: PGD-10 fell from {best:.3f} to {hits:.3f}")
        best = max(best, hits)
        return f"PGD-10 {hits:.4f}"

    return watch


def watch_noise(images, labels, noise):
    """A line on accuracy under noise for each epoch."""
    x, y = attack.to_tensors(images, labels)
    bent = noise(None, x, y, torch.Generator().manual_seed(0))
    return lambda model: f"noisy {attack.accuracy(model.eval(), bent, y):.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("adversarial", "gaussian"))
    parser.add_argument("--data", type=Path, required=True, help="folder of the two zips")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="16 unless given; 10 for gaussian")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--widths", type=int, nargs=3, default=[64, 256, 256])
    parser.add_argument("--rate", type=float, default=0.7)
    parser.add_argument("--shift-rate", type=float, default=64.0)
    parser.add_argument("--decay", type=float, default=0.001, help="share a step at the peak rate")
    parser.add_argument("--whiten-eps", type=float, default=0.1)
    parser.add_argument("--eps", type=float, default=8 / 255, help="largest change of a pixel")
    parser.add_argument("--start", type=float, default=1.0, help="noise of the start, in eps")
    parser.add_argument("--sigma", type=float, default=0.25, help="deviation of the noise")
    parser.add_argument("--held", type=int, default=2500, help="train images held out")
    parser.add_argument("--watched", type=int, default=500, help="held-out images attacked")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    args.epochs = args.epochs or (16 if args.kind == "adversarial" else 10)
    args.noise = args.cutout = 0
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)

    images, labels = data.load(args.data, "train", args.work)
    inner, held = cifar10.split(labels, args.held, args.seed)
    few = held[:: max(1, len(held) // args.watched)]
    if args.kind == "adversarial":
        perturb = Adversary(args.eps, args.start, args.bf16)
        watch = watch_attacks(images[few], labels[few], args.eps)
    else:
        perturb = Noise(args.sigma)
        watch = watch_noise(images[few], labels[few], perturb)
    model = cifar10.train(
        args, images[inner], labels[inner], images[held], labels[held], perturb, watch
    )
    folded = networks.fold(model)
    path = args.out / ("robust.onnx" if args.kind == "adversarial" else "gaussian.onnx")
    networks.export(folded, path)
    print(f"{path.name}: {networks.parameters(folded) / 1e6:.3f} M parameters, "
          f"{path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
