"""Turn released weights of GenD into a deepfake model to serve.

    python models/train/export_gend.py --backbone clip|pe|dinov3 --weights FILE_OR_DIR --out models/gend

GenD (Yermakov et al., "Deepfake Detection that Generalizes Across Benchmarks",
WACV 2026) is a vision encoder with its layer norms tuned, whose feature is
L2-normalised and goes through one linear layer to the logits of real and fake.
``--weights`` is a folder as its authors publish it (``config.json`` and
``model.safetensors``), a ``.safetensors`` file of the same tensors, or a
Lightning checkpoint ``.ckpt``. Sizes are read off the tensors. ``--out`` gets
``classifier.onnx`` and ``model.yaml``.

    python models/train/export_gend.py --backbone clip --tiny-random 1 --out models/tiny

tries everything without a download: a small network with random weights is
first saved as a release is, then loaded and exported like one.
"""

import argparse
import json
import math
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

# A protobuf file ends at 2 GiB.
MOST_IN_ONE_FILE = 2_000_000_000
LABELS = ("real", "fake")
# Of pixels in [0, 1]; fit as the encoder's own image processor has it.
PREPROCESSING = {
    "clip": {"fit": "cover", "mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)},
    "pe": {"fit": "cover", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    "dinov3": {"fit": "fill", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
}
# What the release's config calls the encoder begins, or contains, this.
NAMED = {"clip": "clip", "pe": "vit_pe", "dinov3": "dinov3"}
ENCODER, HEAD = "feature_extractor.", "model.linear."
INSIDE = {"clip": ENCODER + "vision_model.", "pe": ENCODER + "backbone.", "dinov3": ENCODER + "backbone."}
# Attention heads cannot be read off the tensors.
HEADS = {
    "clip": {768: 12, 1024: 16},
    "pe": {768: 12, 1024: 16, 1536: 16},
    "dinov3": {384: 6, 768: 12, 1024: 16, 1280: 20, 4096: 32},
}
PE_NAMES = {
    768: "vit_pe_core_base_patch16_224",
    1024: "vit_pe_core_large_patch14_336",
    1536: "vit_pe_core_gigantic_patch14_448",
}
# Left out of newer layouts, or of no use to the feature.
OPTIONAL = re.compile(r"position_ids$|inv_freq$|^head\.|^rope\.")


class WeightsError(Exception):
    """The weights are not those of the network that was asked for."""


# -------------------------------------------------------------- the weights


def read_tensors(path):
    try:
        return load_file(path)
    except Exception as error:
        raise WeightsError(f"{path}: not a safetensors file ({error}).") from error


def read_weights(path):
    """The tensors of a release by name, and what it says of itself: ``backbone``, ``head`` and more."""
    path = Path(path)
    if path.is_dir():
        config = path / "config.json"
        said = json.loads(config.read_text()) if config.exists() else {}
        files = sorted(path.glob("*.safetensors"))
        if files:
            return {name: t for file in files for name, t in read_tensors(file).items()}, said
        files = [*sorted(path.glob("pytorch_model*.bin")), *sorted(path.glob("*.ckpt"))]
        if len(files) != 1:
            raise WeightsError(f"{path}: found {len(files)} files of weights; expected *.safetensors, or one .ckpt or .bin.")
        state, more = read_weights(files[0])
        return state, {**more, **said}
    if not path.exists():
        raise WeightsError(f"{path}: there is no such file or folder.")
    if path.suffix == ".safetensors":
        return read_tensors(path), {}
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path}: not a checkpoint of tensors and plain values ({type(error).__name__}). "
            "Save its state_dict alone as .safetensors and give that."
        ) from error
    state = held.get("state_dict", held)
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path}: expected tensors by name, or a checkpoint with state_dict.")
    return state, dict(held.get("hyper_parameters", {})) if state is not held else {}


def plain_names(state):
    """Without what wrappers put in front of names: torch.compile, data parallelism, a model around the model."""
    state = {re.sub(r"(^|(?<=\.))(_orig_mod|module)\.", "", name): t for name, t in state.items()}
    if any(name.startswith("model." + ENCODER) for name in state):
        state = {name.removeprefix("model."): t for name, t in state.items()}
    if any("lora_" in name for name in state):
        raise WeightsError("The weights hold LoRA adapters; merge them into the encoder first.")
    return state


def split(state, backbone):
    """The encoder's tensors as its class names them today, and the head's weight ``[2, D]`` and bias ``[2]``."""
    inside = INSIDE[backbone]
    encoder = {name.removeprefix(inside): t.float() for name, t in state.items() if name.startswith(inside)}
    missing = [name for name in (HEAD + "weight", HEAD + "bias") if name not in state]
    if not encoder:
        missing.insert(0, inside + "*")
    if missing:
        raise WeightsError(f"Not GenD weights with a {backbone} encoder: {', '.join(missing)} missing. {some('Found', state)}")
    if backbone == "dinov3":
        encoder = {re.sub(r"^layer\.", "model.layer.", name): t for name, t in encoder.items()}
    return encoder, state[HEAD + "weight"].float(), state[HEAD + "bias"].float()


def some(what, names, most=6):
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what}: {', '.join(names[:most])}{more}." if names else ""


def fill(model, state, where):
    """Load an encoder's tensors, all of them and of these shapes."""
    wanted = model.state_dict()
    state = {name: t for name, t in state.items() if name in wanted or not OPTIONAL.search(name)}
    shapes = [f"{n} is {list(state[n].shape)}, not {list(wanted[n].shape)}"
              for n in wanted if n in state and state[n].shape != wanted[n].shape]
    wrong = [some("Missing", (where + n for n in wanted.keys() - state.keys())),
             some("Unknown", (where + n for n in state.keys() - wanted.keys())),
             some("Of another shape", (where + n for n in shapes))]
    if any(wrong):
        raise WeightsError("The weights do not fit the encoder. " + " ".join(w for w in wrong if w))
    model.load_state_dict(state)
    return model.eval()


def tensor_of(state, name, backbone):
    if name not in state:
        raise WeightsError(f"The {backbone} encoder needs {INSIDE[backbone]}{name}. {some('Found', state)}")
    return state[name]


def depth_of(state, pattern, backbone):
    layers = {int(found[1]) for name in state if (found := re.match(pattern, name))}
    if not layers or layers != set(range(len(layers))):
        raise WeightsError(f"The {backbone} encoder needs layers numbered from 0 on; found {sorted(layers) or 'none'}.")
    return len(layers)


def whole(size, patch):
    if size < patch or size % patch:
        raise WeightsError(f"The encoder cuts pictures into patches of {patch} pixels, which {size} is no multiple of.")
    return size


# ------------------------------------------------------------- the encoders


def clip_encoder(state, size, heads):
    """CLIP's vision tower as transformers has it."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    width, _, patch, _ = tensor_of(state, "embeddings.patch_embedding.weight", "clip").shape
    positions = len(tensor_of(state, "embeddings.position_embedding.weight", "clip"))
    own = math.isqrt(positions - 1) * patch
    if size not in (None, own):
        raise WeightsError(f"These CLIP weights take pictures of {own} pixels, not {size}.")
    config = CLIPVisionConfig(
        hidden_size=width, num_attention_heads=heads, image_size=own, patch_size=patch, hidden_act="quick_gelu",
        intermediate_size=len(tensor_of(state, "encoder.layers.0.mlp.fc1.weight", "clip")),
        num_hidden_layers=depth_of(state, r"encoder\.layers\.(\d+)\.", "clip"), attn_implementation="eager",
    )
    return fill(CLIPVisionModel(config), state, INSIDE["clip"]), own


def dinov3_encoder(state, size, heads):
    """DINOv3's ViT as transformers has it."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    width, _, patch, _ = tensor_of(state, "embeddings.patch_embeddings.weight", "dinov3").shape
    first = "model.layer.0."
    gated = first + "mlp.gate_proj.weight" in state
    config = DINOv3ViTConfig(
        hidden_size=width, num_attention_heads=heads, image_size=whole(size or 224, patch), patch_size=patch,
        intermediate_size=len(tensor_of(state, first + "mlp.up_proj.weight", "dinov3")),
        num_hidden_layers=depth_of(state, r"model\.layer\.(\d+)\.", "dinov3"),
        num_register_tokens=tensor_of(state, "embeddings.register_tokens", "dinov3").shape[1],
        use_gated_mlp=gated, hidden_act="silu" if gated else "gelu",
        mlp_bias=first + "mlp.up_proj.bias" in state,
        **{f"{name}_bias": f"{first}attention.{name[0]}_proj.bias" in state for name in ("query", "key", "value")},
        proj_bias=first + "attention.o_proj.bias" in state, attn_implementation="eager",
    )
    return fill(DINOv3ViTModel(config), state, INSIDE["dinov3"]), config.image_size


def timm_package():
    try:
        import timm
    except ImportError as error:
        raise WeightsError(f"The Perception Encoder needs the package timm, which cannot be imported: {error}.") from error
    return timm


def pe_encoder(state, size, heads):
    """The Perception Encoder as timm has it, its positions resampled to the size that is served."""
    timm = timm_package()
    timm.layers.set_fused_attn(False)
    width, _, patch, _ = tensor_of(state, "patch_embed.proj.weight", "pe").shape
    mlp = len(tensor_of(state, "blocks.0.mlp.fc1.weight", "pe"))
    name, size = PE_NAMES.get(width, PE_NAMES[1024]), whole(size or 224, patch)
    model = timm.create_model(
        name, pretrained=False, num_classes=0, img_size=size, patch_size=patch, embed_dim=width, num_heads=heads,
        mlp_ratio=mlp / width, depth=depth_of(state, r"blocks\.(\d+)\.", "pe"),
        **({} if width in PE_NAMES else {"attn_pool_num_heads": heads, "attn_pool_mlp_ratio": mlp / width}),
    )
    positions = tensor_of(state, "pos_embed", "pe")
    prefix = model.num_prefix_tokens
    old = math.isqrt(positions.shape[1] - prefix)
    resampled = timm.layers.resample_abs_pos_embed(
        positions, new_size=list(model.patch_embed.grid_size), old_size=[old, old], num_prefix_tokens=prefix)
    return fill(model, {**state, "pos_embed": resampled}, INSIDE["pe"]), size


class FixedRotation(nn.Module):
    """DINOv3's rotary positions for pictures of one size, worked out once."""

    def __init__(self, rope, size):
        super().__init__()
        cos, sin = rope.eval()(torch.zeros(1, 3, size, size))
        self.cos, self.sin = nn.Buffer(cos, persistent=False), nn.Buffer(sin, persistent=False)

    def forward(self, pictures):
        return self.cos, self.sin


class GenD(nn.Module):
    """Pictures ``[N, 3, H, W]`` to the logits of real and fake ``[N, 2]`` and what they are linear in, ``[N, D]``."""

    def __init__(self, encoder, backbone, weight, bias, normalised):
        super().__init__()
        self.encoder, self.backbone, self.normalised = encoder, backbone, normalised
        self.linear = nn.Linear(weight.shape[1], 2)
        self.linear.load_state_dict({"weight": weight, "bias": bias})
        self.half_encoder = False

    def feature(self, image):
        if self.half_encoder:
            image = image.half()
        if self.backbone == "pe":
            return self.encoder(image).float()
        out = self.encoder(image)
        return (out.pooler_output if self.backbone == "clip" else out.last_hidden_state[:, 0]).float()

    def forward(self, image):
        feature = self.feature(image)
        if self.normalised:
            feature = F.normalize(feature, p=2, dim=1)
        return self.linear(feature), feature


def build(backbone, weights, size=None, heads=None, head=None):
    """``(GenD, pixels of a side)`` of a release.

    ``heads``: attention heads, where the encoder's width is none that is known; ``head``: ``LinearNorm`` or
    ``linear``, where the release does not say.
    """
    state, said = read_weights(weights)
    named = str(getattr(said.get("backbone"), "value", said.get("backbone") or ""))
    if named and NAMED[backbone] not in named.lower():
        raise WeightsError(f"{weights} says that its encoder is {named}; that is not --backbone {backbone}.")
    kind = str(getattr(said.get("head"), "value", said.get("head") or head or "LinearNorm"))
    if kind not in ("LinearNorm", "linear") or head not in (None, kind):
        raise WeightsError(f"{weights} says that its head is {kind}; {f'--head asks for {head}' if head else 'expected LinearNorm or linear'}.")
    if (said.get("backbone_args") or {}).get("merge_cls_token_with_patches"):
        raise WeightsError(f"{weights} merges the class token with the patches, which no released model does.")
    if ((said.get("custom_preprocessing") or {}).get("zoom_factor") or 1) != 1:
        raise WeightsError(f"{weights} was trained on zoomed crops (custom_preprocessing), which cannot be served.")
    encoder, weight, bias = split(plain_names(state), backbone)
    width = weight.shape[1]
    if weight.shape[0] != 2 or bias.shape != (2,):
        raise WeightsError(f"{HEAD}weight is {list(weight.shape)} and {HEAD}bias {list(bias.shape)}; expected [2, D] and [2].")
    heads = heads or HEADS[backbone].get(width)
    if heads is None or width % heads:
        raise WeightsError(f"A {backbone} encoder of width {width} and {heads or 'unknown'} attention heads; give --heads.")
    size = size or ((said.get("backbone_args") or {}).get("img_size") if backbone == "pe" else None)
    make = {"clip": clip_encoder, "pe": pe_encoder, "dinov3": dinov3_encoder}[backbone]
    model, size = make(encoder, size, heads)
    inner = model.embed_dim if backbone == "pe" else model.config.hidden_size
    if inner != width:
        raise WeightsError(f"The encoder's features have {inner} values, but {HEAD}weight takes {width}.")
    return GenD(model, backbone, weight, bias, kind == "LinearNorm").eval(), size


# --------------------------------------------------------------- the export


@torch.no_grad()
def export(model, size, path, *, half=False, external=False):
    """Write ``image [N, 3, size, size]`` to ``logits [N, 2]`` and ``features [N, D]``; returns the greatest
    difference of a probability between the file and PyTorch over four random pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(0)) * 4 - 2
    expected = model(image)[0].softmax(1).numpy()
    if model.backbone == "dinov3":
        model.encoder.rope_embeddings = FixedRotation(model.encoder.rope_embeddings, size)
    if half:
        model.encoder.half()
        model.half_encoder = True
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = Path(folder) / "raw.onnx"
        torch.onnx.export(
            model, (image[:2],), str(raw), input_names=["image"], output_names=["logits", "features"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}, "features": {0: "N"}},
            opset_version=17, dynamo=False,
        )
        file = onnx.load(raw)
    file.doc_string = ""
    for node in file.graph.node:
        node.doc_string = ""
    # The exporter loses these sizes on the way through the attention's reshapes.
    for output, columns in zip(file.graph.output, model.linear.weight.shape):
        output.type.tensor_type.shape.dim[1].dim_value = columns
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)
    if external or file.ByteSize() > MOST_IN_ONE_FILE:
        onnx.save(file, path, save_as_external_data=True, location=data.name, size_threshold=1024)
        # It is written for its owner's eyes alone.
        data.chmod(path.stat().st_mode)
    else:
        onnx.save(file, path)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = np.concatenate([session.run(["logits"], {"image": part.numpy()})[0] for part in image.split((1, 3))])
    return float(np.abs(torch.tensor(got).softmax(1).numpy() - expected).max())


def model_yaml(backbone, name, size, file, detector=None):
    """The text of model.yaml: what the encoder's image processor does to a picture, and which class is fake."""
    fit, mean, std = PREPROCESSING[backbone].values()
    listed = [", ".join(map(str, values)) for values in (mean, std)]
    lines = [
        f"name: {name}", "task: deepfake", f"labels: [{', '.join(LABELS)}]", "inputs:",
        f"  image: {{ kind: image, width: {size}, height: {size}, fit: {fit}, mean: [{listed[0]}], std: [{listed[1]}] }}",
        f"classifier: {{ file: {file}, logits: logits, features: features }}",
        *([f"faces: {{ detector: {detector}, scale: 1.3 }}"] if detector else []),
        "# To be calibrated on pictures of your own: see docs/gend.md.", "verdict: { threshold: 0.5 }",
    ]
    return "\n".join(lines) + "\n"


# -------------------------------------------------------- a release to try


TINY = {"width": 16, "heads": 2, "layers": 2, "mlp": 32, "size": {"clip": 140, "pe": 84, "dinov3": 64}}


def tiny_encoder(backbone):
    """A small encoder as GenD makes it, of the same class as the released one."""
    width, heads, layers, mlp, size = TINY.values()
    if backbone == "pe":
        return timm_package().create_model(
            PE_NAMES[1024], pretrained=False, dynamic_img_size=True, num_classes=8, embed_dim=width, depth=layers,
            num_heads=heads, attn_pool_num_heads=heads, mlp_ratio=mlp / width, attn_pool_mlp_ratio=mlp / width,
        )
    from transformers import CLIPVisionConfig, CLIPVisionModel, DINOv3ViTConfig, DINOv3ViTModel

    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers,
             "intermediate_size": mlp, "image_size": size[backbone]}
    if backbone == "clip":
        return CLIPVisionModel(CLIPVisionConfig(**sizes, patch_size=14))
    return DINOv3ViTModel(DINOv3ViTConfig(**sizes, num_register_tokens=4))


@torch.no_grad()
def save_tiny(backbone, seed, path):
    """Save a small network with random weights as its release would be.

    :param path: a ``.safetensors`` or ``.ckpt`` file, or a folder
    :returns: its encoder, the head's weight and bias, to compare with
    """
    generator = torch.Generator().manual_seed(seed)
    encoder = tiny_encoder(backbone).eval()
    for name, parameter in encoder.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            parameter.copy_(0.1 * noise)
        elif parameter.ndim == 1 and ("norm" in name or "scale" in name):
            parameter.copy_(1 + 0.2 * noise)
        else:
            parameter.copy_(noise * 1.5 / math.sqrt(parameter[0].numel() if parameter.ndim in (2, 4) else 2))
    weight = 2 * torch.randn(2, TINY["width"], generator=generator)
    bias = 0.3 * torch.randn(2, generator=generator)
    held = encoder.state_dict()
    if backbone == "pe":
        held = {name: t for name, t in held.items() if not name.startswith("head.")}
    if backbone == "dinov3":
        held = {name.replace("model.layer.", "layer."): t for name, t in held.items()}
    state = {INSIDE[backbone] + name: t for name, t in held.items()} | {HEAD + "weight": weight, HEAD + "bias": bias}
    if backbone == "clip":
        state[ENCODER + "visual_projection.weight"] = torch.randn(16, TINY["width"], generator=generator)
    said = {"backbone": {"clip": "openai/clip-vit-large-patch14", "pe": PE_NAMES[1024],
                         "dinov3": "facebook/dinov3-vitl16-pretrain-lvd1689m"}[backbone], "head": "LinearNorm"}
    path = Path(path)
    state = {name: t.contiguous().clone() for name, t in state.items()}
    if path.suffix == ".ckpt":
        torch.save({"state_dict": state, "hyper_parameters": said, "epoch": 0}, path)
    elif path.suffix == ".safetensors":
        save_file(state, path)
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.json").write_text(json.dumps({"architectures": ["GenD"], "model_type": "GenD", **said}))
        save_file(state, path / "model.safetensors")
    return encoder, weight, bias


def parse():
    parser = argparse.ArgumentParser(
        description="Turn released weights of GenD into a deepfake model to serve: classifier.onnx and model.yaml.",
        epilog="The Perception Encoder needs the package timm, the others transformers.")
    parser.add_argument("--backbone", choices=tuple(INSIDE), required=True,
                        help="clip: CLIP ViT; pe: Perception Encoder; dinov3: DINOv3 ViT")
    parser.add_argument("--weights", type=Path, help="the release: its folder, a .safetensors file or a .ckpt")
    parser.add_argument("--out", type=Path, required=True,
                        help="folder of the model, such as models/gend; its last part is the model's name")
    parser.add_argument("--faces", type=Path,
                        help="ONNX file of a face detector (YuNet, SCRFD, RetinaFace), copied as faces.onnx; "
                             "without one the model takes aligned faces alone")
    parser.add_argument("--fp16", action="store_true",
                        help="half-precision encoder: half the size; inputs, head and outputs stay in float32")
    parser.add_argument("--external-data", action="store_true",
                        help="weights in a file beside classifier.onnx; always so beyond 2 GB")
    parser.add_argument("--size", type=int, help="pixels of a side; 224, and CLIP's own, unless given")
    parser.add_argument("--heads", type=int, help="attention heads, for an encoder of unusual width")
    parser.add_argument("--head", choices=("LinearNorm", "linear"),
                        help="LinearNorm: features are L2-normalised, as in every released model; for weights without config")
    parser.add_argument("--tiny-random", type=int, metavar="SEED",
                        help="try it: make a small release with random weights, at --weights where given, and export that")
    args = parser.parse_args()
    if args.weights is None and args.tiny_random is None:
        parser.error("--weights is needed: the folder or file of the release")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", args.out.resolve().name):
        parser.error(f"--out: {args.out.name} names the model; use letters, digits, '.', '_' and '-'")
    if args.faces and not args.faces.is_file():
        parser.error(f"--faces: there is no file {args.faces}")
    return parser, args


def main():
    parser, args = parse()
    size, heads = args.size, args.heads
    try:
        with tempfile.TemporaryDirectory() as folder:
            weights = args.weights or Path(folder) / "tiny"
            if args.tiny_random is not None:
                save_tiny(args.backbone, args.tiny_random, weights)
                size, heads = size or TINY["size"][args.backbone], heads or TINY["heads"]
            model, size = build(args.backbone, weights, size, heads, args.head)
    except WeightsError as error:
        parser.exit(1, f"export_gend.py: {error}\n")
    path = args.out / "classifier.onnx"
    parameters = sum(p.numel() for p in model.parameters())
    difference = export(model, size, path, half=args.fp16, external=args.external_data)
    if args.faces:
        shutil.copyfile(args.faces, args.out / "faces.onnx")
    yaml = model_yaml(args.backbone, args.out.resolve().name, size, path.name, "faces.onnx" if args.faces else None)
    (args.out / "model.yaml").write_text(yaml)
    megabytes = sum(file.stat().st_size for file in args.out.glob("classifier.onnx*")) / 1e6
    print(f"{path}: {megabytes:.2f} MB, {parameters / 1e6:.2f} million parameters, {size}x{size} pixels; "
          f"probabilities differ from PyTorch by {difference:.1e} at most")


if __name__ == "__main__":
    main()
