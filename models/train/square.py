"""Square attack on a server's answers: no gradients, no model, only scores.

Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a query-efficient
black-box adversarial attack via random search", ECCV 2020. ``attack.py square``
runs it.
"""

import http.client
import io
import json
import urllib.parse

import numpy as np
from PIL import Image

import data


def attack(scores, images, labels, eps, queries=300, seed=0):
    """Square attack (Andriushchenko et al., 2020) on 8-bit images: a square of
    random sign moves at random, and stays where the margin falls.

    ``scores`` answers probabilities ``[N,K]``. Returns the attacked images,
    which of them hold, and how many queries it took."""
    rng = np.random.default_rng(seed)
    side, eps = images.shape[1], round(eps * 255)
    low = np.clip(images.astype(int) - eps, 0, 255).astype(np.uint8)
    high = np.clip(images.astype(int) + eps, 0, 255).astype(np.uint8)
    bent = images.copy()
    best, asked = margin(scores(images), labels), len(images)
    for query in range(queries):
        live = np.flatnonzero(best > 0)
        if not len(live):
            break
        trial = bent[live]
        for image, i in zip(trial, live):
            if query == 0:
                # Vertical stripes; then squares that shrink.
                rows, cols, sign = slice(None), slice(None), rng.random((1, side, 3)) < 0.5
            else:
                size = square_side(query / queries, side)
                at, to = rng.integers(0, side - size + 1, 2)
                rows, cols, sign = slice(at, at + size), slice(to, to + size), rng.random(3) < 0.5
            image[rows, cols] = np.where(sign, high[i, rows, cols], low[i, rows, cols])
        now = margin(scores(trial), labels[live])
        asked += len(live)
        better = now < best[live]
        bent[live[better]], best[live[better]] = trial[better], now[better]
    return bent, best > 0, asked


def square_side(done, side, start=0.8):
    """The side of the square after a share of the queries: its area, at first
    0.8 of the image, halves at each of the paper's steps."""
    steps = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
    area = start / 2 ** sum(done > step for step in steps)
    return min(side - 1, max(1, round(area**0.5 * side)))


def margin(scores, labels):
    """How far the right class is ahead, in logarithms."""
    scores = np.log(scores + 1e-12)
    rows = np.arange(len(labels))
    right_class = scores[rows, labels]
    scores[rows, labels] = -np.inf
    return right_class - scores.max(1)


class Server:
    """Probabilities from a server's ``predict``, 64 images a request."""

    BATCH = 64

    def __init__(self, url, model, query):
        url = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=60)
        self.path = f"{url.path.rstrip('/')}/v1/models/{model}/predict?{query}"

    def __call__(self, images):
        return np.concatenate([self.ask(images[i : i + self.BATCH])
                               for i in range(0, len(images), self.BATCH)])

    def predictions(self, images):
        """The server's answers for up to 64 images."""
        edge = "ballast-attack-edge"
        body = b"".join(
            f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{i}.png"\r\n'
            f"Content-Type: image/png\r\n\r\n".encode() + png(image) + b"\r\n"
            for i, image in enumerate(images)
        ) + f"--{edge}--\r\n".encode()
        self.connection.request("POST", self.path, body,
                                {"Content-Type": f"multipart/form-data; boundary={edge}"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"the server answered {answer.status}: {text.decode()}")
        return json.loads(text)["predictions"]

    def ask(self, images):
        out = np.zeros((len(images), len(data.CLASSES)))
        for row, prediction in zip(out, self.predictions(images), strict=True):
            for one in prediction["top"]:
                row[one["index"]] = one["probability"]
        return out


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png", compress_level=1)
    return file.getvalue()
