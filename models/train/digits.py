"""Train and export the digit classifier: one white digit on black, anywhere.

    python models/train/digits.py --data DIR --work DIR --out models/digits

It sees plain MNIST, one digit a picture, at any place and size, more or less
bright and with a little sensor noise: no colour, no background and no second
digit, so that pictures which have these are new to it. One checkpoint an epoch;
the same command run again continues.
"""

import argparse
import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import canvases
import networks


class DigitNet(nn.Module):
    """Five 3x3 convolutions, four of them strided, a global maximum, a linear head."""

    def __init__(self, widths=(12, 24, 48, 64)):
        super().__init__()
        chain = (3, *widths)
        for i, (cin, cout) in enumerate(zip(chain[:-1], chain[1:])):
            setattr(self, f"conv{i + 1}", networks.conv3x3(cin, cout, 2))
            setattr(self, f"norm{i + 1}", nn.BatchNorm2d(cout))
        self.conv5, self.norm5 = networks.conv3x3(widths[-1], 96), nn.BatchNorm2d(96)
        self.head, self.logit_scale = nn.Linear(96, 10), 1.0

    def features(self, x):
        for i in range(1, 6):
            x = F.relu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
        return torch.flatten(F.adaptive_max_pool2d(x, 1), 1)

    def forward(self, x):
        return self.head(self.features(x)) * self.logit_scale


def photograph(x, gen):
    """Canvases as a camera might see them: 30 to 100 % bright, noise of deviation up to 0.1."""
    n = len(x)
    bright = 0.3 + 0.7 * torch.rand(n, 1, 1, 1, generator=gen)
    sigma = 0.1 * torch.rand(n, 1, 1, 1, generator=gen)
    return (x * bright + sigma * torch.randn(x.shape, generator=gen)).clamp(0, 1)


@torch.no_grad()
def accuracy(model, digits, labels, seed):
    model.eval()
    gen = torch.Generator().manual_seed(seed)
    hits = 0
    for i in range(0, len(digits), 500):
        x = canvases.paste(digits[i : i + 500], gen)
        hits += (model(x).argmax(1) == labels[i : i + 500]).sum().item()
    return hits / len(digits)


def train(args, digits, labels):
    torch.manual_seed(args.seed)
    model = DigitNet()
    steps = len(digits) // args.batch
    opt = torch.optim.AdamW(model.parameters(), args.rate, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, args.rate, total_steps=args.epochs * steps)
    kept, first = args.work / "digits.pt", 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["opt"])
        plan.load_state_dict(state["plan"])
        first = state["epoch"]
        print(f"continuing after epoch {first}", flush=True)
    held, held_labels = digits[-5000:], labels[-5000:]
    for epoch in range(first, args.epochs):
        start, total = time.time(), 0.0
        gen = torch.Generator().manual_seed(args.seed * 7_919 + epoch)
        order = torch.randperm(len(digits) - 5000, generator=gen)
        model.train()
        for step in range(steps - 5000 // args.batch):
            pick = order[step * args.batch : (step + 1) * args.batch]
            x = photograph(canvases.paste(digits[pick], gen), gen)
            loss = F.cross_entropy(model(x), labels[pick], label_smoothing=0.1)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        part = kept.with_suffix(".part")
        torch.save(dict(model=model.state_dict(), opt=opt.state_dict(), plan=plan.state_dict(),
                        epoch=epoch + 1), part)
        os.replace(part, kept)
        print(f"epoch {epoch + 1}/{args.epochs}  loss {total / steps:.4f}  held-out "
              f"{accuracy(model, held, held_labels, 5):.4f}  {time.time() - start:.0f} s", flush=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of mnist/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--rate", type=float, default=4e-3)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    model = train(args, *canvases.load(args.data, "train"))
    folded = networks.fold(model)
    path = args.out / "classifier.onnx"
    networks.export(folded, path, side=canvases.SIDE)
    (args.out / "labels.txt").write_text("\n".join(map(str, range(10))) + "\n")
    print(f"{path.name}: {networks.parameters(folded) / 1e6:.3f} M parameters, "
          f"{path.stat().st_size / 1e6:.2f} MB")
    print(f"test: {accuracy(folded, *canvases.load(args.data, 't10k'), 9):.4f}")


if __name__ == "__main__":
    main()
