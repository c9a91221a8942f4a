"""The common corruptions of Hendrycks and Dietterich (ICLR 2019), as their recipe has them.

    python models/train/corruptions.py --out tests/golden/corruptions

writes what the TypeScript of src/eval/corruptions/ is tested against: pictures,
what the corruptions without chance make of them, and the mean and variance of
what the others make of them over many seeds. The few functions of OpenCV,
scikit-image and ImageMagick that the recipe calls are written out. Frost is
not here: the recipe mixes in photographs of ice.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

# What the recipe sets for the severities 1 to 5, at 32 x 32 and at 224 x 224.
SETTINGS = {
    "cifar": {
        "gaussian-noise": [0.04, 0.06, 0.08, 0.09, 0.10],
        "shot-noise": [500, 250, 100, 75, 50],
        "impulse-noise": [0.01, 0.02, 0.03, 0.05, 0.07],
        "defocus-blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        "glass-blur": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
        "motion-blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
        "zoom-blur": [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
        "snow": [(0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                 (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                 (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)],
        "fog": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
        "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
        "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
        "elastic-transform": [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
                              (0.1, 0.03, 0.03)],
        "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
        "jpeg-compression": [80, 65, 58, 50, 40],
    },
    "imagenet": {
        "gaussian-noise": [0.08, 0.12, 0.18, 0.26, 0.38],
        "shot-noise": [60, 25, 12, 5, 3],
        "impulse-noise": [0.03, 0.06, 0.09, 0.17, 0.27],
        "defocus-blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
        "glass-blur": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
        "motion-blur": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
        "zoom-blur": [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
        "snow": [(0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
                 (0.55, 0.3, 4, 0.9, 12, 8, 0.7), (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
                 (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)],
        "fog": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        # The recipe's 244 pixels, in parts of its pictures of 224.
        "elastic-transform": [tuple(part * 244 / 224 for part in parts) for parts in
                              [(2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02),
                               (0.12, 0.01, 0.02)]],
        "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
        "jpeg-compression": [25, 18, 15, 10, 7],
    },
}


def to_bytes(values):
    """What the recipe stores of values in [0, 1]: clipped, times 255, without the fraction."""
    return np.uint8(np.clip(values, 0, 1) * 255)


def gaussian_filter(values, sigma, mode="nearest", truncate=4.0):
    """skimage.filters.gaussian, of each channel."""
    sigmas = (sigma, sigma) + (0,) * (values.ndim - 2)
    return ndimage.gaussian_filter(values, sigmas, mode=mode, truncate=truncate)


def clipped_zoom(values, factor):
    """The middle of a layer or picture, enlarged to at least its size and cropped to it."""
    for axis in (0, 1):
        size = values.shape[axis]
        inner = int(np.ceil(size / factor))
        start = (size - inner) // 2
        values = np.take(values, np.arange(start, start + inner), axis)
        values = ndimage.zoom(values, [factor if a == axis else 1 for a in range(values.ndim)], order=1)
        start = (values.shape[axis] - size) // 2
        values = np.take(values, np.arange(start, start + size), axis)
    return values


def gaussian_noise(x, scale, rng):
    return to_bytes(x / 255 + rng.normal(size=x.shape, scale=scale))


def shot_noise(x, photons, rng):
    return to_bytes(rng.poisson(x / 255 * photons) / photons)


def impulse_noise(x, amount, rng):
    """skimage.util.random_noise, salt and pepper: each channel of each pixel by itself."""
    hit, salt = rng.random(x.shape) < amount, rng.random(x.shape) < 0.5
    return np.where(hit, np.where(salt, 255, 0), x).astype(np.uint8)


def disk(radius, alias_sigma):
    """The kernel of a lens out of focus: a disk under OpenCV's Gaussian of 3 or 5 pixels, reflected at the rim."""
    reach, taps = (8, 1) if radius <= 8 else (radius, 2)
    at = np.arange(-reach, reach + 1)
    kernel = (at[:, None] ** 2 + at ** 2 <= radius ** 2).astype(np.float64)
    kernel /= kernel.sum()
    window = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * alias_sigma ** 2))
    window /= window.sum()
    for axis in (0, 1):
        kernel = ndimage.correlate1d(kernel, window, axis, mode="mirror")
    return kernel


def defocus_blur(x, settings, rng):
    kernel = disk(*settings)
    return to_bytes(np.stack([ndimage.correlate(x[..., c] / 255, kernel, mode="mirror") for c in range(3)], -1))


def glass_blur(x, settings, rng):
    """Each pixel becomes a neighbour. The recipe writes a swap, but swaps views: the neighbour stays as it is."""
    sigma, delta, rounds = settings
    x = np.uint8(gaussian_filter(x / 255, sigma) * 255)
    height, width = x.shape[:2]
    for _ in range(rounds):
        shifts = rng.integers(-delta, delta, size=(height, width, 2)).tolist()
        for h in range(height - delta, delta, -1):
            for w in range(width - delta, delta, -1):
                dx, dy = shifts[h][w]
                x[h, w] = x[h + dy, w + dx]
    return to_bytes(gaussian_filter(x / 255, sigma))


def magick_motion_blur(x, radius, sigma, angle):
    """MotionBlurImage of ImageMagick: half a Gaussian of 2r + 1 taps along an angle, the rim repeated outwards."""
    taps = np.arange(2 * radius + 1)
    weights = np.exp(-(taps ** 2) / (2 * sigma ** 2))
    weights /= weights.sum()
    turn = np.deg2rad(angle)
    dx = np.ceil(taps * np.cos(turn) - 0.5).astype(int)
    dy = np.ceil(taps * np.sin(turn) - 0.5).astype(int)
    rows, columns = np.arange(x.shape[0]), np.arange(x.shape[1])
    out = np.zeros(x.shape)
    for i, weight in enumerate(weights):
        shifted = x[np.clip(rows + dy[i], 0, len(rows) - 1)][:, np.clip(columns + dx[i], 0, len(columns) - 1)]
        out += weight * shifted
    return np.uint8(np.floor(out + 0.5))


def motion_blur(x, settings, rng):
    return magick_motion_blur(x, *settings, rng.uniform(-45, 45))


def zoom_blur(x, settings, rng):
    factors = np.arange(1, *settings)
    x = (x / 255).astype(np.float32)
    return to_bytes((x + sum(clipped_zoom(x, factor) for factor in factors)) / (len(factors) + 1))


def snow(x, settings, rng):
    loc, scale, zoom, threshold, radius, sigma, mix = settings
    layer = clipped_zoom(rng.normal(size=x.shape[:2], loc=loc, scale=scale), zoom)
    layer[layer < threshold] = 0
    layer = magick_motion_blur(to_bytes(layer), radius, sigma, rng.uniform(-135, -45))[..., None] / 255
    x = x / 255
    grey = (x @ [0.299, 0.587, 0.114])[..., None]
    x = mix * x + (1 - mix) * np.maximum(x, grey * 1.5 + 0.5)
    return to_bytes(x + layer + np.rot90(layer, k=2))


def plasma(size, decay, rng):
    """A fractal in [0, 1] on a torus: squares, then diamonds, of half the step and 1 / decay of the wobble each time."""
    field, step, wobble = np.zeros((size, size)), size, 100.0
    while step >= 2:
        half = step // 2

        def settle(total):
            return total / 4 + wobble * rng.uniform(-wobble, wobble, total.shape)

        corners = field[::step, ::step]
        pairs = corners + np.roll(corners, -1, 0)
        field[half::step, half::step] = settle(pairs + np.roll(pairs, -1, 1))
        middles = field[half::step, half::step]
        field[::step, half::step] = settle(middles + np.roll(middles, 1, 0) + corners + np.roll(corners, -1, 1))
        field[half::step, ::step] = settle(middles + np.roll(middles, 1, 1) + corners + np.roll(corners, -1, 0))
        step, wobble = half, wobble / decay
    field -= field.min()
    return field / field.max()


def fog(x, settings, rng):
    thickness, decay = settings
    height, width = x.shape[:2]
    size = 2 ** max(1, int(np.ceil(np.log2(max(height, width)))))
    x = x / 255
    brightest = x.max()
    x = x + thickness * plasma(size, decay, rng)[:height, :width, None]
    return to_bytes(x * brightest / (brightest + thickness))


def brightness(x, more, rng):
    """skimage's way through HSV: more value, of the same hue and saturation."""
    x = x / 255
    value = x.max(-1, keepdims=True)
    part = np.divide(x, value, out=np.ones_like(x), where=value > 0)
    return to_bytes(part * np.clip(value + more, 0, 1))


def contrast(x, part, rng):
    x = x / 255
    means = x.mean((0, 1), keepdims=True)
    return to_bytes((x - means) * part + means)


def elastic_transform(x, settings, rng):
    """A random affine map, OpenCV's reflected at the rim, then a smooth random shift of each pixel."""
    height, width = x.shape[:2]
    amount, sigma, jitter = (part * min(height, width) for part in settings)
    centre, arm = np.array([width // 2, height // 2]), max(1, min(height, width) // 3)
    before = np.array([centre + arm, centre + [arm, -arm], centre - arm], dtype=float)
    after = before + rng.uniform(-jitter, jitter, size=(3, 2))
    # Rows (a, b, c) of x' = a x + b y + c that take a pixel of the result back to where it comes from.
    back = np.linalg.solve(np.c_[after, np.ones(3)], before).T
    ys, xs = np.mgrid[:height, :width]
    at = [back[i, 0] * xs + back[i, 1] * ys + back[i, 2] for i in (1, 0)]
    x = np.stack([ndimage.map_coordinates(x[..., c] / 255, at, order=1, mode="mirror") for c in range(3)], -1)
    dx, dy = (gaussian_filter(rng.uniform(-1, 1, (height, width)), sigma, "reflect", 3) * amount for _ in range(2))
    at = [ys + dy, xs + dx]
    return to_bytes(np.stack([ndimage.map_coordinates(x[..., c], at, order=1, mode="reflect") for c in range(3)], -1))


def pixelate(x, part, rng):
    height, width = x.shape[:2]
    small = Image.fromarray(x).resize((max(1, int(width * part)), max(1, int(height * part))), Image.Resampling.BOX)
    return np.array(small.resize((width, height), Image.Resampling.BOX))


def jpeg_compression(x, quality, rng):
    file = io.BytesIO()
    Image.fromarray(x).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


CORRUPTIONS = {
    "gaussian-noise": gaussian_noise, "shot-noise": shot_noise, "impulse-noise": impulse_noise,
    "defocus-blur": defocus_blur, "glass-blur": glass_blur, "motion-blur": motion_blur, "zoom-blur": zoom_blur,
    "snow": snow, "fog": fog, "brightness": brightness, "contrast": contrast,
    "elastic-transform": elastic_transform, "pixelate": pixelate, "jpeg-compression": jpeg_compression,
}

SEVERITIES = (1, 3, 5)
# Angles at which motion is compared: one a severity, across both axes and back.
ANGLES = (30.0, -45.0, -100.0)
WITHOUT_CHANCE = ("defocus-blur", "motion-blur", "zoom-blur", "brightness", "contrast", "pixelate", "jpeg-compression")
# Pictures over which the mean settles; the fog of a whole picture is one draw.
SEEDS = {"gaussian-noise": 60, "shot-noise": 60, "impulse-noise": 300, "glass-blur": 40, "motion-blur": 1500,
         "snow": 800, "fog": 8000, "elastic-transform": 1200}


def corrupt(x, name, severity, scale, rng):
    """One picture, uint8 [H, W, 3], under one of `CORRUPTIONS` at a severity of 1 to 5."""
    return CORRUPTIONS[name](x, SETTINGS[scale][name][severity - 1], rng)


def synthetic_picture(height, width):
    """Slopes, stripes, a bright disk, a dark bar and a patch of single pixels: uint8 [H, W, 3]."""
    ys, xs = np.mgrid[:height, :width] / min(height, width)
    x = np.stack([0.2 + 0.6 * xs / xs.max(), 0.7 - 0.5 * ys / ys.max(), 0.4 + 0.2 * np.sin(9 * (xs + ys))], -1)
    x[(xs - 0.35) ** 2 + (ys - 0.4) ** 2 < 0.05] = [1, 0.85, 0.3]
    x[(abs(xs - 0.75) < 0.08) & (ys > 0.3)] = [0.05, 0.1, 0]
    pixels = np.arange(height)[:, None] * 7 + np.arange(width) * 13
    x[(ys > 0.8) & (xs < 0.4)] = (0.5 + 0.4 * np.sin(pixels))[(ys > 0.8) & (xs < 0.4), None]
    return to_bytes(x)


def sheet(x, scale):
    """What the corruptions without chance make of a picture: one a row, a column a severity."""
    def tile(name, column):
        severity = SEVERITIES[column]
        if name == "motion-blur":
            return magick_motion_blur(x, *SETTINGS[scale][name][severity - 1], ANGLES[column])
        return corrupt(x, name, severity, scale, None)

    return np.vstack([np.hstack([tile(name, c) for c in range(len(SEVERITIES))]) for name in WITHOUT_CHANCE])


def statistics(x, scale, share):
    """Mean and variance a channel over pixels and seeds, and the mean square distance from the plain picture."""
    found = {}
    for name, count in SEEDS.items():
        for severity in SEVERITIES:
            rng = np.random.default_rng([list(SEEDS).index(name), severity])
            seeds = max(20, round(count * share))
            total, squares, moved = np.zeros(3), np.zeros(3), 0.0
            for _ in range(seeds):
                drawn = corrupt(x, name, severity, scale, rng).astype(np.float64)
                total += drawn.mean((0, 1))
                squares += (drawn**2).mean((0, 1))
                moved += ((drawn - x) ** 2).mean()
            mean = total / seeds
            found[f"{name} {severity}"] = {
                "mean": mean.round(4).tolist(),
                "variance": (squares / seeds - mean**2).round(4).tolist(),
                "distance": round(moved / seeds, 4),
            }
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    golden = {"severities": SEVERITIES, "angles": ANGLES, "rows": WITHOUT_CHANCE, "pictures": []}
    for width, height, scale, share in ((32, 32, "cifar", 1), (40, 27, "cifar", 0), (96, 96, "imagenet", 0.3)):
        x, file = synthetic_picture(height, width), f"{width}x{height}"
        Image.fromarray(x).save(out / f"{file}.png", optimize=True)
        Image.fromarray(sheet(x, scale)).save(out / f"{file}-corrupted.png", optimize=True)
        entry = {"file": file, "scale": scale}
        golden["pictures"].append(entry | ({"statistics": statistics(x, scale, share)} if share else {}))
    (out / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
