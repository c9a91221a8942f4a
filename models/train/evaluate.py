"""Measure an exported CIFAR-10 classifier with onnxruntime.

    python models/train/evaluate.py --model models/cifar10/classifier.onnx --data DIR [--lame]

Accuracy, negative log-likelihood, calibration error and time on
``cifar10-test.zip``, one look at each image. ``--lame`` adds what the model is
for: accuracy under noise, and what LAME (Boudiaf et al., CVPR 2022) gains or
loses on streams in runs of one class and on shuffled ones.

``--split held`` measures the part of the train split that the training left
out: settings are chosen there, never on the test split.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import data
from data import MEAN, STD

NEIGHBOURS, WINDOW, RUN = 5, 64, 40


# ------------------------------------------------------------- the network


class Network:
    """The ONNX file, with the input of its last Gemm as a second output."""

    def __init__(self, path, threads):
        model = onnx.load(path)
        gemm = [n for n in model.graph.node if n.op_type == "Gemm"][-1]
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(gemm.input[0], onnx.TensorProto.FLOAT, None)
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        start = lambda m: onnxruntime.InferenceSession(  # noqa: E731
            m, options, providers=["CPUExecutionProvider"])
        self.plain, self.both = start(str(path)), start(model.SerializeToString())

    def __call__(self, images, batch=250):
        """``(logits, features)`` of uint8 images, in double precision."""
        parts = [self.both.run(None, {"image": prepare(images[i : i + batch])})
                 for i in range(0, len(images), batch)]
        return tuple(np.concatenate(p).astype(np.float64) for p in zip(*parts))

    def milliseconds(self, images, batch, seconds=3.0):
        """Median time an image, in batches."""
        x, times, end = prepare(images[:batch]), [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 5:
            start = time.perf_counter()
            self.plain.run(None, {"image": x})
            times.append(time.perf_counter() - start)
        return float(np.median(times[1:])) * 1000 / batch


def prepare(images):
    x = images.astype(np.float32) / 255
    x = (x - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def noisy(images, sigma, seed):
    """Gaussian noise of ``sigma`` grey levels, on an 8-bit picture."""
    if not sigma:
        return images
    rng = np.random.default_rng([seed, round(sigma * 1000)])
    x = images + rng.standard_normal(images.shape, dtype=np.float32) * sigma
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


# ------------------------------------------------------------- the numbers


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def accuracy(p, labels):
    return float((p.argmax(1) == labels).mean())


def nll(p, labels):
    return float(-np.log(p[np.arange(len(p)), labels] + 1e-12).mean())


def ece(p, labels, bins=15):
    """Expected calibration error of the top class, bins of equal width."""
    confidence, hit = p.max(1), p.argmax(1) == labels
    at = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(sum(
        abs(hit[at == b].mean() - confidence[at == b].mean()) * (at == b).mean()
        for b in range(bins) if (at == b).any()
    ))


# ----------------------------------------------------------------- LAME


def lame(q, f, k=NEIGHBOURS, steps=100, tolerance=1e-8):
    """LAME with k-nearest-neighbour affinity: probabilities ``q`` and
    unit-length features ``f`` of one batch to adjusted probabilities."""
    n = len(q)
    if n == 1:
        return q / q.sum(1, keepdims=True)
    distance = 2 - 2 * (f @ f.T)
    np.fill_diagonal(distance, np.inf)  # left out by index, not by rank
    near = np.argsort(distance, axis=1, kind="stable")[:, : min(k, n - 1)]
    unary, last = -np.log(q + 1e-10), None
    z = softmax(-unary)
    for step in range(steps):
        pull = z[near].sum(1)
        z = softmax(pull - unary)
        energy = (unary * z - pull * z + z * np.log(np.maximum(z, 1e-20))).sum()
        if step > 1 and abs(energy - last) <= tolerance * abs(last):
            break
        last = energy
    return z


def in_batches(q, f, size):
    return np.concatenate([lame(q[i : i + size], f[i : i + size])
                           for i in range(0, len(q), size)])


def in_stream(q, f, window=WINDOW):
    """Image by image: each is adjusted together with the ones just before it,
    and only its own answer is taken."""
    out = []
    for i in range(len(q)):
        at = slice(max(0, i - window), i + 1)
        out.append(lame(q[at], f[at])[-1])
    return np.array(out)


def runs(labels, seed, length=RUN):
    """An order in runs of one class, and the runs in a random order."""
    rng = np.random.default_rng(seed)
    parts = []
    for c in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == c))
        parts += [own[i : i + length] for i in range(0, len(own), length)]
    return np.concatenate([parts[i] for i in rng.permutation(len(parts))])


def lame_row(name, logits, features, labels, order, sizes):
    q, y = softmax(logits)[order], labels[order]
    f = features[order] / np.maximum(np.linalg.norm(features[order], axis=1, keepdims=True), 1e-12)
    base = accuracy(q, y) * 100
    cells = {str(s): accuracy(in_batches(q, f, s), y) * 100 - base for s in sizes}
    cells["stream"] = accuracy(in_stream(q, f), y) * 100 - base
    print(f"{name:<26} base {base:6.2f}  "
          + "  ".join(f"{k} {v:+6.2f}" for k, v in cells.items()), flush=True)
    return cells


def lame_table(network, images, labels, sigmas, seeds):
    clean = network(images)
    for seed in seeds:
        shuffled = np.random.default_rng(seed).permutation(len(labels))
        lame_row(f"clean shuffled, seed {seed}", *clean, labels, shuffled, (16, 64, 256))
    for seed in seeds:
        lame_row(f"clean runs, seed {seed}", *clean, labels, runs(labels, seed), (16, 64))
    for sigma in sigmas:
        for seed in seeds:
            outputs = network(noisy(images, sigma, seed))
            lame_row(f"noise {sigma:g} runs, seed {seed}", *outputs, labels,
                     runs(labels, seed), (16, 64))


# --------------------------------------------------------------- reports


def report(path, folder, threads, cache=None, part="test", seed=1, held=2500):
    images, labels = data.load(folder, "test" if part == "test" else "train", cache)
    if part == "held":
        from cifar10 import split  # needs torch, which the test split does not

        _, keep = split(labels, held, seed)
        images, labels = images[keep], labels[keep]
    network = Network(path, threads)
    p = softmax(network(images)[0])
    print(f"{part} split, {len(labels)} images: accuracy {accuracy(p, labels):.4f}  "
          f"NLL {nll(p, labels):.4f}  ECE {ece(p, labels):.4f}  "
          f"mean confidence {p.max(1).mean():.4f}")
    for batch in 1, 64:
        ms = network.milliseconds(images, batch)
        print(f"batch {batch}, {threads} threads: {ms:.3f} ms an image, {1000 / ms:.0f} images/s")
    return network, images, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--split", choices=("test", "held"), default="test")
    parser.add_argument("--cache", type=Path, help="folder for decoded images")
    parser.add_argument("--lame", action="store_true")
    parser.add_argument("--noise", type=float, nargs="*", default=[12, 16, 20, 24, 30],
                        help="grey levels to report accuracy at")
    parser.add_argument("--sigma", type=float, nargs="*", default=[30],
                        help="grey levels for the LAME table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    network, images, labels = report(args.model, args.data, args.threads, args.cache, args.split)
    if args.lame:
        for sigma in args.noise:
            p = softmax(network(noisy(images, sigma, 0))[0])
            print(f"noise {sigma:g}: accuracy {accuracy(p, labels):.4f}  ECE {ece(p, labels):.4f}")
        print("LAME, points of accuracy gained, by batch size:")
        lame_table(network, images, labels, args.sigma, args.seeds)


if __name__ == "__main__":
    main()
