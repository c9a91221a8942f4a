"""Attack certified answers of a running server inside their radius.

    python models/train/check_certificate.py --data DIR --models models/cifar10 --url http://127.0.0.1:8080

asks the server to certify images until ``--count`` of them have a radius, and
then looks for a change within it: random ones of that very length, and ones
found along the gradient of the mixture, averaged over noise. The certificate is
of the true smoothed classifier, which no number of draws knows exactly: a
change counts as one that broke the certificate where the class differs at 10,
at 100 and at 1,000 fresh draws.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import attack
import data
import networks
import square

DRAWS = (10, 100, 1000)


class Smoothed:
    """The mixture of the standard classifier and the votes under noise."""

    def __init__(self, folder, alpha, scale, sigma, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(folder / "gaussian.onnx", options)
        self.standard, self.voter = (networks.load(folder / f"{name}.onnx")
                                     for name in ("classifier", "gaussian"))
        self.alpha, self.scale, self.sigma = alpha, scale, sigma / attack.STD
        self.generator = torch.Generator().manual_seed(0)

    def noise(self, *shape):
        return torch.randn(*shape, generator=self.generator) * self.sigma

    @torch.no_grad()
    def classes(self, x, draws):
        """The class of each image, by that many votes."""
        shares = torch.zeros(len(x), len(data.CLASSES))
        for _ in range(draws):
            noisy = (x + self.noise(*x.shape)).numpy()
            votes = torch.from_numpy(self.session.run(None, {"image": noisy})[0]).argmax(1)
            shares[torch.arange(len(x)), votes] += 1 / draws
        mixed = (1 - self.alpha) * (self.standard(x) * self.scale).softmax(1) + self.alpha * shares
        return mixed.argmax(1)

    def gradient(self, x, label, draws):
        """The way in which each image becomes less of its class."""
        x = x.detach().requires_grad_()
        noisy = (x[:, None] + self.noise(len(x), draws, *x.shape[1:])).flatten(0, 1)
        soft = self.voter(noisy).softmax(1).unflatten(0, (len(x), draws)).mean(1)
        mixed = (1 - self.alpha) * (self.standard(x) * self.scale).softmax(1) + self.alpha * soft
        (gradient,) = torch.autograd.grad(-mixed[:, label].log().sum(), x)
        return gradient


def of_length(change, radius):
    """Changes of normalised images that have that length in pixels of [0, 1]."""
    pixels = change * attack.STD
    return change * (radius / pixels.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1))


def search(model, x, label, radius, args):
    """Changed images: random ones, and every step of some walks along the gradient."""
    shape = (args.random, *x.shape[1:])
    found = [x + of_length(torch.randn(shape, generator=model.generator), radius)]
    walks, steps = 5, args.gradient // 5
    change = of_length(torch.randn((walks, *x.shape[1:]), generator=model.generator), radius)
    for _ in range(steps):
        way = of_length(model.gradient(x + change, label, args.gradient_draws), radius / 2)
        change = change + way
        length = (change * attack.STD).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        change = change * (radius / length).clamp_max(1)
        found.append(x + change)
    return torch.cat(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the zips")
    parser.add_argument("--work", type=Path, help="folder for decoded images")
    parser.add_argument("--models", type=Path, default=Path("models/cifar10"))
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--model", default="cifar10")
    parser.add_argument("--count", type=int, default=200, help="certified images")
    parser.add_argument("--random", type=int, default=500, help="random changes an image")
    parser.add_argument("--gradient", type=int, default=50, help="changes along the gradient")
    parser.add_argument("--gradient-draws", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--standard-scale", type=float, default=1.0, help="as in model.yaml")
    parser.add_argument("--sigma", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images, labels = data.load(args.data, "test", args.work)
    order = np.random.default_rng(0).permutation(len(images))
    server = square.Server(args.url, args.model,
                           f"lame=off&certify=on&alpha={args.alpha}&top={len(data.CLASSES)}")
    model = Smoothed(args.models, args.alpha, args.standard_scale, args.sigma, args.threads)
    asked, radii, tried, unsure, broken = 0, [], 0, 0, 0
    for begin in range(0, len(order), 8):
        part = images[order[begin : begin + 8]]
        answers = server.predictions(part)
        # The server would close it, idle for as long as the changes take.
        server.connection.close()
        for image, answer in zip(part, answers):
            radius = answer["certificate"]["radius"]
            asked += 1
            if radius == 0 or len(radii) == args.count:
                continue
            radii.append(radius)
            x, label = attack.to_tensors(image[None], labels[:1])[0], answer["index"]
            left = search(model, x, label, radius, args)
            tried += len(left)
            for draws in DRAWS:
                left = left[model.classes(left, draws) != label]
                if draws == DRAWS[0]:
                    unsure += len(left)
                if not len(left):
                    break
            broken += len(left)
            if len(radii) % 10 == 0:
                print(f"{len(radii)} certified images of {asked}, median radius "
                      f"{np.median(radii):.3f}: {tried} changes, {unsure} looked at twice, "
                      f"{broken} broke a certificate", flush=True)
        if len(radii) == args.count:
            break
    if broken:
        raise SystemExit("a certificate was broken")


if __name__ == "__main__":
    main()
