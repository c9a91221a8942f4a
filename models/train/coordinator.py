"""Train and export the Coordinator's encoder, by masked autoencoding (He et al., 2022).

    python models/train/coordinator.py --data DIR --work DIR --out models/digits

It learns, without a label, to paint three quarters of a picture from the rest:
natural pictures (CIFAR-10's train split, enlarged to 64x64) and plain digits,
one on black. What is exported is the encoder: ``image`` in [0,1] to ``z``
``[N,128]``, the mean of the tokens, each of its entries brought to mean 0 and
deviation 1 over the training pictures. One checkpoint an epoch; the same
command run again continues.

    python models/train/coordinator.py --vit-mae facebook/vit-mae-base --out models/mine

exports the encoder that the authors of BlackVIP chose, from weights that the
transformers library finds there: 224x224, ``z [N,768]``.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn import functional as F

import canvases
import data

SIDE, PATCH, WIDTH, DEPTH, HEADS = 64, 16, 128, 4, 4
TOKENS = (SIDE // PATCH) ** 2
SEEN = TOKENS // 4


class Block(nn.Module):
    """Pre-norm attention and a feed-forward layer."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, d = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Autoencoder(nn.Module):
    """A masked autoencoder; ``forward`` is the encoder alone, on whole pictures."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.place = nn.Parameter(torch.randn(1, TOKENS, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("deviation", torch.ones(WIDTH))
        narrow = WIDTH // 2
        self.shrink, self.mask = nn.Linear(WIDTH, narrow), nn.Parameter(torch.zeros(1, 1, narrow))
        self.place_out = nn.Parameter(torch.randn(1, TOKENS, narrow) * 0.02)
        self.painter = nn.ModuleList(Block(narrow, HEADS) for _ in range(2))
        self.paint = nn.Sequential(nn.LayerNorm(narrow), nn.Linear(narrow, 3 * PATCH * PATCH))

    def tokens(self, image):
        return self.patch(image * 2 - 1).flatten(2).transpose(1, 2) + self.place

    def encode(self, tokens):
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def forward(self, image):
        return (self.encode(self.tokens(image)).mean(1) - self.mean) / self.deviation

    def loss(self, image, gen):
        """Mean squared error on the hidden patches."""
        n = len(image)
        order = torch.rand(n, TOKENS, generator=gen).argsort(1)
        pick = lambda x, at: x.gather(1, at[:, :, None].expand(-1, -1, x.shape[2]))  # noqa: E731
        seen, hidden = order[:, :SEEN], order[:, SEEN:]
        known = self.shrink(self.encode(pick(self.tokens(image), seen)))
        place = self.place_out.expand(n, -1, -1)
        x = torch.cat([known + pick(place, seen), self.mask + pick(place, hidden)], 1)
        for block in self.painter:
            x = block(x)
        target = F.unfold(image, PATCH, stride=PATCH).transpose(1, 2)
        return F.mse_loss(self.paint(x[:, SEEN:]), pick(target, hidden))


class Pictures:
    """Natural pictures, enlarged, and plain digits: one in six."""

    def __init__(self, args):
        natural, _ = data.load(args.data, "train", args.work)
        self.natural = torch.from_numpy(natural).permute(0, 3, 1, 2).contiguous()
        self.digits, _ = canvases.load(args.data, "train")

    def draw(self, n, gen):
        few = n // 6
        pick = torch.randint(0, len(self.natural), (n - few,), generator=gen)
        x = self.natural[pick].float() / 255
        x = torch.where(torch.rand(len(x), 1, 1, 1, generator=gen) < 0.5, x, x.flip(3))
        x = F.interpolate(x, size=72, mode="bilinear", align_corners=False)
        top, left = torch.randint(0, 9, (2,), generator=gen).tolist()
        pick = torch.randint(0, len(self.digits), (few,), generator=gen)
        plain = canvases.paste(self.digits[pick], gen)
        return torch.cat([x[:, :, top : top + SIDE, left : left + SIDE], plain])


def train(args):
    torch.manual_seed(args.seed)
    model, pictures = Autoencoder(), Pictures(args)
    opt = torch.optim.AdamW(model.parameters(), args.rate, weight_decay=0.05, betas=(0.9, 0.95))
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, args.rate, total_steps=args.epochs * args.steps)
    kept, first = args.work / "coordinator.pt", 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["opt"])
        plan.load_state_dict(state["plan"])
        first = state["epoch"]
        print(f"continuing after epoch {first}", flush=True)
    for epoch in range(first, args.epochs):
        start, total = time.time(), 0.0
        gen = torch.Generator().manual_seed(args.seed * 7_919 + epoch)
        for _ in range(args.steps):
            loss = model.loss(pictures.draw(args.batch, gen), gen)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        part = kept.with_suffix(".part")
        torch.save(dict(model=model.state_dict(), opt=opt.state_dict(), plan=plan.state_dict(),
                        epoch=epoch + 1), part)
        os.replace(part, kept)
        print(f"epoch {epoch + 1}/{args.epochs}  loss {total / args.steps:.5f}  "
              f"{time.time() - start:.0f} s", flush=True)
    measure(model.eval(), pictures, args.seed)
    return model


@torch.no_grad()
def measure(model, pictures, seed):
    """Sets the mean and the deviation of ``z``."""
    gen = torch.Generator().manual_seed(seed)
    z = torch.cat([model(pictures.draw(600, gen)) for _ in range(20)])
    model.mean.copy_(z.mean(0))
    model.deviation.copy_(z.std(0) + 1e-6)


class VitMae(nn.Module):
    """The class token of a pretrained masked autoencoder, every patch seen."""

    def __init__(self, name):
        super().__init__()
        from transformers import ViTMAEModel

        self.model = ViTMAEModel.from_pretrained(name, mask_ratio=0.0)
        self.side = self.model.config.image_size
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image):
        # Without a mask the order of the patches does not matter; fixed noise keeps theirs.
        tokens = self.model.config.image_size // self.model.config.patch_size
        noise = torch.arange(tokens**2, dtype=image.dtype).expand(image.shape[0], -1)
        x = (image - self.mean) / self.deviation
        return self.model(x, noise=noise).last_hidden_state[:, 0]


@torch.no_grad()
def export(model, side, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), (torch.rand(2, 3, side, side),), str(path), input_names=["image"],
            output_names=["z"], dynamic_axes={"image": {0: "N"}, "z": {0: "N"}},
            opset_version=17, dynamo=False,
        )
    file = onnx.load(path)
    file.doc_string = ""
    # The exporter loses the size of z on the way through the attention's reshapes.
    size = model(torch.rand(1, 3, side, side)).shape[1]
    file.graph.output[0].type.tensor_type.shape.dim[1].dim_value = size
    onnx.checker.check_model(file, full_check=True)
    onnx.save(file, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of mnist/ and cifar10-train.zip")
    parser.add_argument("--work", type=Path, help="folder for the checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for coordinator.onnx")
    parser.add_argument("--vit-mae", help="export this model of the transformers library")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--steps", type=int, default=240, help="steps an epoch")
    parser.add_argument("--batch", type=int, default=240)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    path = args.out / "coordinator.onnx"
    if args.vit_mae:
        model = VitMae(args.vit_mae)
        return export(model, model.side, path)
    if not args.data or not args.work:
        parser.error("--data and --work are needed to train")
    args.work.mkdir(parents=True, exist_ok=True)
    return export(train(args), SIDE, path)


if __name__ == "__main__":
    main()
