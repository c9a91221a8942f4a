"""Train the network of spoken and written digits, and its modulation sets.

    python models/train/spoken.py --data DIR --work DIR --out models/spoken

Needs ``mnist/`` and ``fsdd.zip``. A picture and a recording of the same digit
go in, under noise; four speakers are learnt from and two others tested on. The
network only ever sees both. Its weights are then frozen, and for each of the two
combinations with a modality missing a set of scales and shifts is learnt by
gradient (Reza et al., 2023). For comparison, a network of one tower is trained
for each modality alone. Every part has a checkpoint; the same command run again
continues with the next.
"""

import argparse
import io
import os
import time
import wave
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import canvases
import networks

RATE, SAMPLES = 8000, 8000
FFT, HOP, MELS = 256, 80, 40
SPEAKERS = {"train": ("george", "jackson", "lucas", "nicolas"), "test": ("theo", "yweweler")}
# Of decibels over the training recordings, roughly.
MEAN, DEVIATION = -40.0, 20.0
# Of pixels in [0, 1]; and as a share of a recording's own level, which differs tenfold between speakers.
IMAGE_NOISE, AUDIO_NOISE = 0.9, 0.5
# After the first layers of a tower, on large maps, a scale would cost as much time as the layer itself.
PLAIN = ("conv1", "conv2")


# ----------------------------------------------------------------- the data


def recordings(folder, split):
    """Waveforms ``[N, 8000]`` in [-1, 1], at the beginning of a second of silence, and their digits."""
    waves, labels = [], []
    with zipfile.ZipFile(Path(folder) / "fsdd.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".wav")):
            digit, speaker, _ = Path(name).stem.split("_")
            if speaker not in SPEAKERS[split]:
                continue
            with wave.open(io.BytesIO(archive.read(name))) as file:
                pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
            waves.append(np.pad(pcm[:SAMPLES], (0, max(0, SAMPLES - len(pcm)))))
            labels.append(int(digit))
    return torch.tensor(np.stack(waves), dtype=torch.float32), torch.tensor(labels)


def mel_bank():
    """Slaney's mel filters ``[MELS, FFT/2+1]``, of equal area."""
    def to_mel(hz):
        hz = np.asarray(hz, float)
        return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1e-9) / 1000) * 27 / np.log(6.4))

    def to_hz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    edges = to_hz(np.linspace(to_mel(0), to_mel(RATE / 2), MELS + 2))
    bins = np.linspace(0, RATE / 2, FFT // 2 + 1)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return torch.tensor(bank, dtype=torch.float32)


BANK = mel_bank()


def log_mel(waves):
    """``[N, 1, MELS, 101]`` decibels, at most 80 below each recording's loudest, about mean 0 and deviation 1."""
    spectrum = torch.stft(waves, FFT, HOP, window=torch.hann_window(FFT), center=True,
                          pad_mode="reflect", return_complex=True).abs().square()
    db = 10 * (BANK @ spectrum).clamp_min(1e-10).log10()
    db = torch.maximum(db, db.amax((1, 2), keepdim=True) - 80)
    return ((db - MEAN) / DEVIATION)[:, None]


class Pairs:
    """A recording, and a picture of the same digit, both under noise."""

    def __init__(self, folder, split):
        self.waves, self.labels = recordings(folder, split)
        self.is_train = split == "train"
        # Of the recording without the silence after it.
        length = (self.waves != 0).sum(1).clamp_min(1)
        self.levels = (self.waves.square().sum(1) / length).sqrt()
        digits, labels = canvases.load(folder, "train" if split == "train" else "t10k")
        self.digits = [digits[labels == d] for d in range(10)]

    def draw(self, pick, gen):
        """``(image [N,1,28,28], audio [N,1,40,101], labels)``."""
        labels = self.labels[pick]
        which = torch.rand(len(pick), generator=gen)
        image = torch.stack([self.digits[d][int(w * len(self.digits[d]))]
                             for d, w in zip(labels.tolist(), which.tolist())])
        image = image + IMAGE_NOISE * torch.randn(image.shape, generator=gen)
        waves = self.waves[pick]
        if self.is_train:
            waves = self.vary(waves, gen)
        noise = AUDIO_NOISE * self.levels[pick, None] * torch.randn(waves.shape, generator=gen)
        waves = waves + noise
        if self.is_train:
            waves = waves * 10 ** (torch.rand(len(pick), 1, generator=gen) * 1.6 - 1.2)
        return image.clamp(0, 1), log_mel(waves), labels

    def vary(self, waves, gen):
        """Faster or slower, and with it higher or lower, a batch alike; and later by up to a quarter of a second."""
        speed = 0.8 + 0.45 * torch.rand(1, generator=gen).item()
        waves = F.interpolate(waves[:, None], size=int(SAMPLES / speed), mode="linear")[:, 0, :SAMPLES]
        waves = F.pad(waves, (0, SAMPLES - waves.shape[1]))
        late = torch.randint(0, SAMPLES // 4, (len(waves), 1), generator=gen)
        index = torch.arange(SAMPLES) - late
        return torch.where(index >= 0, waves.gather(1, index.clamp_min(0)), 0.0)

    def all(self, seed):
        gen = torch.Generator().manual_seed(seed)
        parts = [self.draw(torch.arange(len(self.labels)), gen) for _ in range(2)]
        return [torch.cat(part) for part in zip(*parts)]


# ------------------------------------------------------------- the networks


class Tower(nn.Module):
    """Four 3x3 convolutions, three of them strided; the mean over the map ``[N, 128]``."""

    WIDTHS = (24, 48, 96, 128)

    def __init__(self):
        super().__init__()
        chain = (1, *self.WIDTHS)
        for i, (cin, cout) in enumerate(zip(chain[:-1], chain[1:])):
            setattr(self, f"conv{i + 1}", networks.conv3x3(cin, cout, 2 if i < 3 else 1))
            setattr(self, f"norm{i + 1}", nn.BatchNorm2d(cout))

    def forward(self, x):
        for i in range(1, 5):
            x = F.relu(getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x)))
        return x.mean((2, 3))


class Fusion(nn.Module):
    """Two towers, their projections multiplied (bilinear pooling), a norm, a linear head."""

    def __init__(self):
        super().__init__()
        self.image, self.audio = Tower(), Tower()
        self.left, self.right = nn.Linear(128, 192), nn.Linear(128, 192)
        self.norm, self.head, self.logit_scale = nn.LayerNorm(192), nn.Linear(192, 10), 1.0

    def forward(self, image, audio):
        both = self.left(self.image(image)) * self.right(self.audio(audio))
        return self.head(F.gelu(self.norm(both))) * self.logit_scale


class Single(nn.Module):
    """The same with one tower, for one modality."""

    def __init__(self, modality):
        super().__init__()
        self.modality, self.tower = modality, Tower()
        self.hidden, self.norm = nn.Linear(128, 192), nn.LayerNorm(192)
        self.head, self.logit_scale = nn.Linear(192, 10), 1.0

    def forward(self, image, audio):
        x = self.tower(image if self.modality == "image" else audio)
        return self.head(F.gelu(self.norm(self.hidden(x)))) * self.logit_scale


class Modulated(nn.Module):
    """A frozen network with a scale and a shift after each of its layers."""

    def __init__(self, network):
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.scales, self.shifts = nn.ParameterDict(), nn.ParameterDict()
        for name, layer in network.named_modules():
            if not isinstance(layer, (nn.Conv2d, nn.Linear, nn.LayerNorm)) or name.endswith(PLAIN):
                continue
            width = layer.weight.shape[0]
            key = name.replace(".", "/")
            self.scales[key] = nn.Parameter(torch.ones(width))
            self.shifts[key] = nn.Parameter(torch.zeros(width))
            layer.register_forward_hook(self.hook(key))

    def hook(self, key):
        def apply(_, __, y):
            shape = (1, -1, 1, 1) if y.dim() == 4 else (1, -1)
            return y * self.scales[key].view(shape) + self.shifts[key].view(shape)
        return apply

    def forward(self, image, audio):
        return self.network(image, audio)

    def tensors(self, combination):
        names = [(kind, key, value) for kind, group in (("gamma", self.scales), ("beta", self.shifts))
                 for key, value in group.items()]
        return {f"{combination}:{key.replace('/', '.')}.{kind}": value.detach().clone()
                for kind, key, value in names}


def without(modality, image, audio):
    return (torch.zeros_like(image), audio) if modality == "image" else (image, torch.zeros_like(audio))


# ------------------------------------------------------------- the training


def train(args, network, pairs, epochs, rate, missing=None):
    opt = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], rate,
                            weight_decay=0.05 if missing is None else 0)
    steps = len(pairs.labels) // args.batch
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, rate, total_steps=epochs * steps)
    for epoch in range(epochs):
        start, total = time.time(), 0.0
        gen = torch.Generator().manual_seed(args.seed * 7_919 + epoch)
        order = torch.randperm(len(pairs.labels), generator=gen)
        network.train(missing is None)
        for step in range(steps):
            image, audio, y = pairs.draw(order[step * args.batch : (step + 1) * args.batch], gen)
            if missing:
                image, audio = without(missing, image, audio)
            loss = F.cross_entropy(network(image, audio), y, label_smoothing=0.05)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        if epoch % 10 == 9 or epoch == epochs - 1:
            print(f"  epoch {epoch + 1}/{epochs}  loss {total / steps:.4f}  {time.time() - start:.1f} s",
                  flush=True)
    return network.eval()


@torch.no_grad()
def accuracy(network, image, audio, labels):
    hits = sum((network(image[i : i + 500], audio[i : i + 500]).argmax(1) == labels[i : i + 500]).sum().item()
               for i in range(0, len(labels), 500))
    return hits / len(labels)


def kept(args, name, make):
    """What ``make`` returns, from its checkpoint where there is one."""
    path = args.work / f"spoken-{name}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    print(name, flush=True)
    state = make()
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)
    return state


def export(network, path):
    names = ("image", "audio")
    networks.write_onnx(network, (torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, MELS, 101)), path, names, ["logits"],
                        {name: {0: "N"} for name in (*names, "logits")})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    pairs, test = Pairs(args.data, "train"), Pairs(args.data, "test").all(5)

    def fit(network, name):
        torch.manual_seed(args.seed)
        network.load_state_dict(kept(args, name, lambda: train(
            args, network, pairs, args.epochs, 3e-3).state_dict()))
        return network.eval()

    torch.manual_seed(args.seed)
    fusion = networks.fold(fit(Fusion(), "both"))
    size = networks.parameters(fusion)
    export(fusion, args.out / "classifier.onnx")
    (args.out / "labels.txt").write_text("\n".join(map(str, range(10))) + "\n")
    rows, sets = [("both", accuracy(fusion, *test), None, None)], {}
    for missing, left in (("audio", "image"), ("image", "audio")):
        image, audio, labels = test
        cut = (*without(missing, image, audio), labels)
        plain = accuracy(fusion, *cut)
        modulated = Modulated(networks.fold(fusion))
        share = sum(p.numel() for p in modulated.parameters() if p.requires_grad) / size
        state = kept(args, f"modulation-{left}", lambda: train(
            args, modulated, pairs, args.epochs, 2e-2, missing).state_dict())
        modulated.load_state_dict(state)
        sets |= modulated.tensors(left)
        alone = networks.fold(fit(Single(left), f"{left}-alone"))
        export(alone, args.out / f"{left}-alone.onnx")
        rows.append((left, plain, accuracy(modulated, *cut), accuracy(alone, *test)))
    save_file(sets, args.out / "modulation.safetensors",
              {"share_a_set": f"{share:.5f}", "combinations": "image,audio"})
    print(f"{size / 1e6:.3f} M parameters, {share:.2%} of them a set")
    for name, plain, modulated, alone in rows:
        more = "" if modulated is None else f"  modulated {modulated:.4f}  trained for it alone {alone:.4f}"
        print(f"{name:6} {plain:.4f}{more}")


if __name__ == "__main__":
    main()
