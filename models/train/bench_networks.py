"""Export two CIFAR-shaped networks with random weights, for speed benchmarks.

    python models/train/bench_networks.py OUT_DIR

``small.onnx`` is a ResNet-20 (0.27 M parameters), ``large.onnx`` has the
architecture of the shipped classifier (about 2 M). Their answers mean nothing;
their shapes, cost and graph are those of the real thing.
"""

import argparse
from pathlib import Path

import torch

import networks


def settle(model):
    """One pass in training mode, so that the norms hold plausible statistics
    and activations stay in range."""
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(64, 3, 32, 32))
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    small = networks.ResNet()
    large = networks.SpeedNet()
    large.init_whitening(torch.randn(256, 3, 32, 32), eps=0.01)
    for name, model in ("small", small), ("large", large):
        path = args.out / f"{name}.onnx"
        folded = networks.fold(settle(model))
        x = torch.randn(8, 3, 32, 32)
        with torch.no_grad():
            gap = (model(x) - folded(x)).abs().max().item()
        if gap > 1e-4:
            raise SystemExit(f"{name}: folding moved the logits by {gap:.2g}")
        networks.export(folded, path)
        print(f"{path}: {networks.parameters(folded) / 1e6:.2f} M parameters, "
              f"{path.stat().st_size / 2**20:.2f} MiB, folding moved logits by {gap:.1e}")


if __name__ == "__main__":
    main()
