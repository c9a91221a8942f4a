"""The trade-off table of the model card: clean against attacked accuracy.

    python models/train/tradeoff.py --data DIR --models models/cifar10 [--json FILE]

A row for each fixed alpha and for both adaptive modes: accuracy on the whole
test split, and under PGD-20 through that very mixture on every k-th image. The
robust classifier and the adaptive modes also face APGD-CE. *Worst* counts an
image as kept only where all attacks of the table fail on it, those made for
every other row included, and two more: images attacked as if the mixing
network's alpha were at its lower end, and as if the standard classifier were
not sharpened, since its saturated probabilities hide the way from an attacker.
"""

import argparse
import json
from pathlib import Path

import torch

import attack
import data
import mixture

ALPHAS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
ADAPTIVE = ("mixing-network", "nonlinear")
# alpha, standardScale and robustScale of a mixture that is attacked in place of others.
SOFT = (0.64, 1.0, 4.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the zips")
    parser.add_argument("--models", type=Path, default=Path("models/cifar10"))
    parser.add_argument("--work", type=Path, help="folder for decoded images")
    parser.add_argument("--count", type=int, default=500, help="images attacked")
    parser.add_argument("--eps", type=float, default=8, help="grey levels")
    parser.add_argument("--nonlinear", type=float, nargs=4, default=mixture.NONLINEAR,
                        metavar=("S", "P", "C", "ALPHA"))
    parser.add_argument("--alphas", type=float, nargs="*", default=ALPHAS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    x, y = attack.to_tensors(*data.load(args.data, "test", args.work))
    few = torch.arange(args.count) * len(y) // args.count
    near, target, eps = x[few], y[few], args.eps / 255
    load = lambda name, alpha=None: mixture.load(  # noqa: E731
        args.models, name, alpha, args.nonlinear)
    names = {0.0: "standard", 1.0: "robust"}
    models = {f"alpha {a:g}": load(names.get(a, "fixed"), a) for a in args.alphas}
    models |= {mode: load(mode) for mode in ADAPTIVE}
    full = {"alpha 1", *ADAPTIVE}

    rows, attacked = {}, []
    for name, model in models.items():
        bent = attack.pgd(model, near, target, eps)
        attacked.append(bent)
        row = rows[name] = {"clean": attack.accuracy(model, x, y),
                            "pgd": attack.accuracy(model, bent, target)}
        if name in full:
            bent = attack.apgd(model, near, target, eps)
            attacked.append(bent)
            row["apgd"] = attack.accuracy(model, bent, target)
        print(f"{name:14}", *(f"{k} {v:.4f}" for k, v in row.items()), sep="  ", flush=True)
    soft = load("fixed", SOFT[0])
    soft.scales = SOFT[1:]
    for model in (load("fixed", models["mixing-network"].range[0]), soft):
        attacked.append(attack.pgd(model, near, target, eps))
    for name in sorted(full & models.keys()):
        kept = torch.stack([attack.right(models[name], bent, target) for bent in attacked]).all(0)
        rows[name]["worst"] = kept.double().mean().item()
        print(f"{name:14}  worst of {len(attacked)} attacks {rows[name]['worst']:.4f}")
    if args.json:
        args.json.write_text(json.dumps(
            {"images": len(y), "attacked": args.count, "eps": args.eps, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
