"""LAME in PyTorch, for bench/lame: answers each line of JSON on stdin with one on stdout.

Request: {"form", "affinity", "k", "rows", "runs", "probabilities", "features"}, the last two being files of float32,
and perhaps "answer", a file to write the adapted probabilities to. Answer: {"ms", "iterations"}, ms with the time of
each run.
"""

import json
import sys
import time
from array import array

try:
    import torch
except ImportError:
    sys.exit("PyTorch is missing: name a Python interpreter that has it, PYTHON=path/to/python npm run bench:lame")


def distances(features, form):
    if form == "cdist":
        return torch.cdist(features, features)
    # As the reference does it: all differences at once, N x N x D numbers.
    return (features[:, None] - features[None]).norm(dim=-1)


def affinity_matrix(features, request):
    features = torch.nn.functional.normalize(features, dim=-1)
    samples = len(features)
    if request["affinity"] == "linear":
        return features @ features.T
    apart = distances(features, request["form"])
    if request["affinity"] == "knn":
        nearest = apart.topk(min(request["k"] + 1, samples), largest=False).indices[:, 1:]
        return torch.zeros(samples, samples).scatter_(1, nearest, 1.0)
    kth = apart.topk(min(request["k"], samples), largest=False).values[:, -1]
    return torch.exp(-(apart**2) / (2 * kth.mean() ** 2))


def adapt(probabilities, features, request):
    weights = affinity_matrix(features, request)
    unary = -torch.log(probabilities + 1e-10)
    assignments = (-unary).softmax(-1)
    energy_before = float("inf")
    for step in range(100):
        pull = weights @ assignments
        assignments = (pull - unary).softmax(-1)
        entropy = assignments * torch.log(assignments.clip(1e-20))
        energy = (unary * assignments - pull * assignments + entropy).sum().item()
        if step > 1 and abs(energy - energy_before) <= 1e-8 * abs(energy_before):
            break
        energy_before = energy
    return assignments, step + 1


def read(path, rows):
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32).reshape(rows, -1)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        probabilities = read(request["probabilities"], request["rows"])
        features = read(request["features"], request["rows"])
        milliseconds = []
        for _ in range(request["runs"]):
            start = time.perf_counter()
            assignments, iterations = adapt(probabilities, features, request)
            milliseconds.append((time.perf_counter() - start) * 1000)
        if "answer" in request:
            with open(request["answer"], "wb") as file:
                array("f", assignments.flatten().tolist()).tofile(file)
        print(json.dumps({"ms": milliseconds, "iterations": iterations}), flush=True)


with torch.inference_mode():
    main()
