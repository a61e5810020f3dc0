"""Makes fixtures/towers: two tiny CLIPs with random weights, what every layer gives, the loss and all its gradients; the
layers of a tiny SigLIP; and a table of positions, resized. Makes fixtures/decoder too: a caption decoder of CLIPS, its loss and all
gradients.

The towers are restated here from the papers (Radford et al. 2021, Dosovitskiy et al. 2021, He et al. 2016, Vaswani et
al. 2017, Zhai et al. 2022 and 2023, Liu et al. 2024) and the published tensor names, in PyTorch's functional operators, so that they share no line with src/.

    python3 scripts/fixtures-towers.py        (Debian 12: apt-get install python3-torch)
"""

import json
import math
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

RECORDED_WITH = "1.13.0a0"
FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "towers"
ACTIVATIONS = {
    "quickGelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": F.gelu,
    "geluTanh": lambda x: F.gelu(x, approximate="tanh"),
}
TEXT = {"contextLength": 10, "vocabSize": 30, "width": 16, "layers": 2, "heads": 2}
CONFIGS = {
    "vit": {
        "embedDim": 12,
        "activation": "quickGelu",
        "vision": {"kind": "vit", "imageSize": 12, "patchSize": 4, "width": 24, "layers": 2, "heads": 3},
        "text": TEXT,
    },
    # One stage keeps its shape in its second bottleneck; the published ones have four stages, here two are enough.
    "resnet": {
        "embedDim": 12,
        "activation": "geluTanh",
        "vision": {"kind": "resnet", "imageSize": 16, "width": 8, "layers": [2, 1], "heads": 4, "norm": "batch"},
        "text": TEXT,
    },
}
SIGLIP = {
    "embedDim": 24,
    "activation": "geluTanh",
    "layerNormEpsilon": 1e-6,
    "score": "sigmoid",
    # Pixels at the right and below that no patch reads, as in the published model of 384 pixels.
    "vision": {
        **{"kind": "vit", "imageSize": 14, "patchSize": 4, "width": 24, "layers": 2, "heads": 3},
        **{"mlpWidth": 40, "pool": "probe"},
    },
    "text": {**TEXT, "mlpWidth": 40, "causal": False, "pool": "last", "projectionBias": True},
}


class Recorder:
    """Weights by published name, and every value that is worth comparing."""

    def __init__(self, generator):
        self.generator = generator
        self.weights = {}
        self.values = {}
        self.training = False

    def make(self, name, shape, around=0.0, scale=None):
        if name not in self.weights:
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
            spread = scale if scale is not None else (fan_in**-0.5 if len(shape) > 1 else 0.2)
            value = around + spread * torch.randn(shape, generator=self.generator)
            self.weights[name] = value.requires_grad_()
        return self.weights[name]

    def record(self, name, value):
        self.values[name] = value
        return value


def layer_norm(r, name, x, epsilon=1e-5):
    width = x.shape[-1]
    return F.layer_norm(x, (width,), r.make(f"{name}.weight", [width], 1.0), r.make(f"{name}.bias", [width]), epsilon)


def linear(r, name, x, out):
    return F.linear(x, r.make(f"{name}.weight", [out, x.shape[-1]]), r.make(f"{name}.bias", [out]))


def attend(q, k, v, heads, mask=None):
    split = lambda x: x.unflatten(-1, (heads, -1)).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask, -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def block(r, name, x, heads, activation, mask=None):
    width = x.shape[-1]
    y = layer_norm(r, f"{name}.ln_1", x)
    weight = r.make(f"{name}.attn.in_proj_weight", [3 * width, width])
    q, k, v = F.linear(y, weight, r.make(f"{name}.attn.in_proj_bias", [3 * width])).chunk(3, -1)
    x = x + linear(r, f"{name}.attn.out_proj", attend(q, k, v, heads, mask), width)
    y = linear(r, f"{name}.mlp.c_fc", layer_norm(r, f"{name}.ln_2", x), 4 * width)
    return x + linear(r, f"{name}.mlp.c_proj", activation(y), width)


def vit(r, config, activation, pixels):
    vision, width = config["vision"], config["vision"]["width"]
    kernel = r.make("visual.conv1.weight", [width, 3, vision["patchSize"], vision["patchSize"]])
    patches = r.record("vision.patches", F.conv2d(pixels, kernel, stride=vision["patchSize"]))
    tokens = patches.flatten(2).transpose(1, 2)
    first = r.make("visual.class_embedding", [width]).expand(len(tokens), 1, width)
    tokens = torch.cat([first, tokens], 1)
    x = tokens + r.make("visual.positional_embedding", list(tokens.shape[1:]), scale=0.2)
    x = r.record("vision.lnPre", layer_norm(r, "visual.ln_pre", x))
    for i in range(vision["layers"]):
        x = block(r, f"visual.transformer.resblocks.{i}", x, vision["heads"], activation)
        r.record(f"vision.blocks.{i}", x)
    pooled = r.record("vision.lnPost", layer_norm(r, "visual.ln_post", x[:, 0]))
    return pooled @ r.make("visual.proj", [width, config["embedDim"]], scale=width**-0.5)


def conv_norm(r, conv, norm, x, out, size, stride=1):
    x = F.conv2d(x, r.make(f"{conv}.weight", [out, x.shape[1], size, size]), stride=stride, padding=size // 2)
    weight, bias = r.make(f"{norm}.weight", [out], 1.0), r.make(f"{norm}.bias", [out])
    for name in ("running_mean", "running_var"):
        if f"{norm}.{name}" not in r.weights:
            start = torch.rand(out, generator=r.generator)
            r.weights[f"{norm}.{name}"] = start + 0.5 if name == "running_var" else start - 0.5
    mean, variance = r.weights[f"{norm}.running_mean"], r.weights[f"{norm}.running_var"]
    if r.training:
        # batch_norm writes the new statistics into the tensors it is given.
        mean, variance = mean.clone(), variance.clone()
        r.values[f"after.{norm}.running_mean"], r.values[f"after.{norm}.running_var"] = mean, variance
    return F.batch_norm(x, mean, variance, weight, bias, training=r.training)


def bottleneck(r, name, x, width, stride, changes):
    y = conv_norm(r, f"{name}.conv1", f"{name}.bn1", x, width, 1).relu()
    y = conv_norm(r, f"{name}.conv2", f"{name}.bn2", y, width, 3).relu()
    y = F.avg_pool2d(y, stride) if stride > 1 else y
    y = conv_norm(r, f"{name}.conv3", f"{name}.bn3", y, 4 * width, 1)
    if changes:
        x = F.avg_pool2d(x, stride) if stride > 1 else x
        x = conv_norm(r, f"{name}.downsample.0", f"{name}.downsample.1", x, 4 * width, 1)
    return (x + y).relu()


def resnet(r, config, pixels):
    width, layers = config["vision"]["width"], config["vision"]["layers"]
    x = pixels
    for i, out in enumerate([width // 2, width // 2, width], start=1):
        x = conv_norm(r, f"visual.conv{i}", f"visual.bn{i}", x, out, 3, stride=2 if i == 1 else 1).relu()
    x = r.record("vision.stem", F.avg_pool2d(x, 2))
    for s, count in enumerate(layers):
        for i in range(count):
            stride = 2 if s > 0 and i == 0 else 1
            x = bottleneck(r, f"visual.layer{s + 1}.{i}", x, width * 2**s, stride, changes=i == 0)
            r.record(f"vision.stages.{s}.{i}", x)
    places = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([places.mean(1, keepdim=True), places], 1)
    channels = tokens.shape[-1]
    name = "visual.attnpool"
    tokens = tokens + r.make(f"{name}.positional_embedding", list(tokens.shape[1:]), scale=0.2)
    q = linear(r, f"{name}.q_proj", tokens[:, :1], channels)
    k = linear(r, f"{name}.k_proj", tokens, channels)
    v = linear(r, f"{name}.v_proj", tokens, channels)
    pooled = attend(q, k, v, config["vision"]["heads"])
    return linear(r, f"{name}.c_proj", pooled[:, 0], config["embedDim"])


def text(r, config, activation, ids, ends):
    settings, width = config["text"], config["text"]["width"]
    table = r.make("token_embedding.weight", [settings["vocabSize"], width], scale=0.5)
    tokens = r.record("text.tokens", table[ids])
    x = tokens + r.make("positional_embedding", [settings["contextLength"], width], scale=0.2)
    future = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool()
    for i in range(settings["layers"]):
        x = block(r, f"transformer.resblocks.{i}", x, settings["heads"], activation, future)
        r.record(f"text.blocks.{i}", x)
    x = r.record("text.lnFinal", layer_norm(r, "ln_final", x))
    at_end = x[torch.arange(len(ids)), ends]
    return at_end @ r.make("text_projection", [width, config["embedDim"]], scale=width**-0.5)


def siglip_block(r, name, x, heads, hidden):
    """timm's names, or those of open_clip's text tower, of the same block."""
    width = x.shape[-1]
    timm = name.startswith("visual.")
    norms = [f"{name}.norm1", f"{name}.norm2"] if timm else [f"{name}.ln_1", f"{name}.ln_2"]
    out, up, down = ("attn.proj", "mlp.fc1", "mlp.fc2") if timm else ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")
    y = layer_norm(r, norms[0], x, 1e-6)
    if timm:
        qkv = linear(r, f"{name}.attn.qkv", y, 3 * width)
    else:
        weight = r.make(f"{name}.attn.in_proj_weight", [3 * width, width])
        qkv = F.linear(y, weight, r.make(f"{name}.attn.in_proj_bias", [3 * width]))
    x = x + linear(r, f"{name}.{out}", attend(*qkv.chunk(3, -1), heads), width)
    y = F.gelu(linear(r, f"{name}.{up}", layer_norm(r, norms[1], x, 1e-6), hidden), approximate="tanh")
    return x + linear(r, f"{name}.{down}", y, width)


def siglip(r, pixels, ids):
    vision, settings = SIGLIP["vision"], SIGLIP["text"]
    width, patch, trunk = vision["width"], vision["patchSize"], "visual.trunk"
    # Small embeddings: with another epsilon the layer norms would show it.
    kernel = r.make(f"{trunk}.patch_embed.proj.weight", [width, 3, patch, patch], scale=0.01)
    bias = r.make(f"{trunk}.patch_embed.proj.bias", [width], scale=0.01)
    tokens = r.record("vision.patches", F.conv2d(pixels, kernel, bias, stride=patch)).flatten(2).transpose(1, 2)
    x = r.record("vision.embeddings", tokens + r.make(f"{trunk}.pos_embed", [1, *tokens.shape[1:]], scale=0.01))
    for i in range(vision["layers"]):
        x = siglip_block(r, f"{trunk}.blocks.{i}", x, vision["heads"], vision["mlpWidth"])
        r.record(f"vision.blocks.{i}", x)
    x = r.record("vision.lnPost", layer_norm(r, f"{trunk}.norm", x, 1e-6))
    pool = f"{trunk}.attn_pool"
    q = linear(r, f"{pool}.q", r.make(f"{pool}.latent", [1, 1, width], scale=0.2).expand(len(x), 1, width), width)
    k, v = linear(r, f"{pool}.kv", x, 2 * width).chunk(2, -1)
    found = r.record("vision.probe", linear(r, f"{pool}.proj", attend(q, k, v, vision["heads"]), width)[:, 0])
    y = linear(r, f"{pool}.mlp.fc1", layer_norm(r, f"{pool}.norm", found, 1e-6), vision["mlpWidth"])
    images = found + linear(r, f"{pool}.mlp.fc2", F.gelu(y, approximate="tanh"), width)
    r.record("imageFeatures", images)

    width = settings["width"]
    table = r.make("text.token_embedding.weight", [settings["vocabSize"], width], scale=0.01)
    positions = r.make("text.positional_embedding", [settings["contextLength"], width], scale=0.01)
    x = r.record("text.embeddings", r.record("text.tokens", table[ids]) + positions)
    for i in range(settings["layers"]):
        x = siglip_block(r, f"text.transformer.resblocks.{i}", x, settings["heads"], settings["mlpWidth"])
        r.record(f"text.blocks.{i}", x)
    x = r.record("text.lnFinal", layer_norm(r, "text.ln_final", x, 1e-6))
    texts = linear(r, "text.text_projection", r.record("text.pooled", x[:, -1]), SIGLIP["embedDim"])
    r.record("textFeatures", texts)

    images = r.record("imageEmbeds", images / images.norm(dim=-1, keepdim=True))
    texts = r.record("textEmbeds", texts / texts.norm(dim=-1, keepdim=True))
    scale, bias = r.make("logit_scale", [], 2.5, 0.1), r.make("logit_bias", [], -2.0, 0.1)
    logits = r.record("logitsPerImage", scale.exp() * images @ texts.t() + bias)
    r.record("probabilitiesPerImage", logits.sigmoid())


def write_siglip():
    generator = torch.Generator().manual_seed(20230327)
    r = Recorder(generator)
    side, batch = SIGLIP["vision"]["imageSize"], 4
    pixels = torch.randn(batch, 3, side, side, generator=generator)
    ids = torch.randint(0, SIGLIP["text"]["vocabSize"], (batch, SIGLIP["text"]["contextLength"]), generator=generator)
    with torch.no_grad():
        siglip(r, pixels, ids)
    about = {"made by": f"scripts/fixtures-towers.py, PyTorch {torch.__version__}"}
    inputs = {"pixelValues": pixels, "inputIds": ids.int()}
    write_safetensors(FOLDER / "siglip" / "model.safetensors", r.weights, about)
    write_safetensors(FOLDER / "siglip" / "io.safetensors", {**inputs, **r.values}, about)
    (FOLDER / "siglip" / "config.json").write_text(json.dumps(SIGLIP, indent=2) + "\n")


def decoder(r, image_tokens, text_tokens, heads, layers, queries, vocab):
    """CLIPS: learned queries behind what the towers ended with; the prefix sees itself, a query also those before it."""
    width = text_tokens.shape[-1]
    prefix = torch.cat(
        [linear(r, "imageProjection", image_tokens, width), linear(r, "textProjection", text_tokens, width)], 1
    )
    first = r.make("queries", [queries, width], scale=0.5).expand(len(prefix), queries, width)
    x, before = torch.cat([prefix, first], 1), prefix.shape[1]
    length = before + queries
    unseen = torch.tensor([[column >= before and column > row for column in range(length)] for row in range(length)])
    for i in range(layers):
        x = block(r, f"blocks.{i}", x, heads, ACTIVATIONS["gelu"], unseen)
    return layer_norm(r, "lnFinal", x[:, before:]) @ r.make("head", [vocab, width]).t()


OUR_NAMES = {
    **{"ln_1": "ln1", "ln_2": "ln2", "attn.in_proj_weight": "attn.qkv.weight", "attn.in_proj_bias": "attn.qkv.bias"},
    **{"attn.out_proj": "attn.out", "mlp.c_fc": "mlp.fc", "mlp.c_proj": "mlp.proj"},
}


def our_name(name):
    for theirs, ours in OUR_NAMES.items():
        name = name.replace(theirs, ours)
    return name


def write_decoder():
    generator = torch.Generator().manual_seed(20241124)
    r = Recorder(generator)
    pairs, queries, vocab = 3, 6, 30
    inputs = {
        "imageTokens": torch.randn(pairs, 5, 24, generator=generator).requires_grad_(),
        "textTokens": torch.randn(pairs, 7, 16, generator=generator).requires_grad_(),
    }
    ids = torch.randint(0, vocab, (pairs, queries), generator=generator)
    counted = torch.arange(queries) < torch.tensor([[6], [1], [4]])
    logits = decoder(r, *inputs.values(), heads=2, layers=2, queries=queries, vocab=vocab)
    loss = F.cross_entropy(logits[counted], ids[counted])
    loss.backward()
    named = {f"decoder.{our_name(key)}": weight for key, weight in r.weights.items()}
    recorded = {f"grad.{key}": value.grad for key, value in {**inputs, **named}.items()}
    written = {"writtenIds": ids.int(), "tokenWeights": counted / counted.sum()}
    about = {"made by": f"scripts/fixtures-towers.py, PyTorch {torch.__version__}"}
    tensors = {**inputs, **written, **named, "logits": logits, "loss": loss, **recorded}
    write_safetensors(FOLDER.parent / "decoder" / "io.safetensors", tensors, about)


def write_positions():
    """open_clip's resize_pos_embed is this call on the grid, with the class token's place set aside."""
    generator = torch.Generator().manual_seed(20210226)
    table = torch.randn(7, 7, 5, generator=generator)
    tensors = {"from7": table}
    for side in (3, 5, 10, 12):
        image = table.permute(2, 0, 1)[None]
        resized = F.interpolate(image, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
        tensors[f"to{side}"] = resized[0].permute(1, 2, 0)
    about = {"made by": f"scripts/fixtures-towers.py, PyTorch {torch.__version__}"}
    write_safetensors(FOLDER / "positions.safetensors", tensors, about)


def forward(r, config, activation, pixels, ids, ends):
    activation = ACTIVATIONS[activation]
    tower = vit(r, config, activation, pixels) if config["vision"]["kind"] == "vit" else resnet(r, config, pixels)
    images = r.record("imageFeatures", tower)
    texts = r.record("textFeatures", text(r, config, activation, ids, ends))
    images = r.record("imageEmbeds", images / images.norm(dim=-1, keepdim=True))
    texts = r.record("textEmbeds", texts / texts.norm(dim=-1, keepdim=True))
    scale = r.make("logit_scale", [], 2.5, 0.1)
    return r.record("logitsPerImage", scale.exp() * images @ texts.t())


def main():
    if torch.__version__ != RECORDED_WITH:
        sys.exit(f"the fixtures were recorded with PyTorch {RECORDED_WITH}, this is {torch.__version__}")
    torch.set_num_threads(1)
    write_siglip()
    write_positions()
    write_decoder()
    for name, config in CONFIGS.items():
        generator = torch.Generator().manual_seed(20210226)
        r = Recorder(generator)
        side = config["vision"]["imageSize"]
        batch, length = 6, config["text"]["contextLength"]
        pixels = torch.randn(batch, 3, side, side, generator=generator)
        ids = torch.randint(1, config["text"]["vocabSize"] - 1, (batch, length), generator=generator)
        ends = torch.tensor([length - 1, 3, 5, 2, 8, 5])
        for row, end in enumerate(ends):
            ids[row, end] = config["text"]["vocabSize"] - 1
            ids[row, end + 1 :] = 0
        inputs = (pixels, ids, ends)

        # A first run makes the weights. The tower with batch norm is kept in half precision.
        forward(r, config, config["activation"], *inputs)
        halved = {key for key, value in r.weights.items() if name == "resnet" and value.ndim > 1}
        for key in halved:
            r.weights[key] = r.weights[key].detach().half().float().requires_grad_()

        with torch.no_grad():
            recorded = {}
            for activation in ACTIVATIONS:
                r.values = {}
                forward(r, config, activation, *inputs)
                if activation == config["activation"]:
                    recorded.update(r.values)
                else:
                    recorded[f"logitsPerImage.{activation}"] = r.values["logitsPerImage"]
            recorded = {key: value.clone() for key, value in recorded.items()}

        r.values, r.training = {}, True
        logits = forward(r, config, config["activation"], *inputs)
        target = torch.arange(batch)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2
        loss.backward()
        recorded["loss"] = loss
        for key, weight in r.weights.items():
            if weight.requires_grad:
                recorded[f"grad.{key}"] = weight.grad
        recorded.update({key: value for key, value in r.values.items() if key.startswith("after.")})

        weights = {key: value.half() if key in halved else value for key, value in r.weights.items()}
        inputs = {"pixelValues": pixels, "inputIds": ids.int(), "endOfText": ends.int()}
        about = {"made by": f"scripts/fixtures-towers.py, PyTorch {torch.__version__}"}
        write_safetensors(FOLDER / name / "model.safetensors", weights, about)
        write_safetensors(FOLDER / name / "io.safetensors", {**inputs, **recorded}, about)
        (FOLDER / name / "config.json").write_text(json.dumps(config, indent=2) + "\n")


DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.int32: "I32"}


def write_safetensors(path, tensors, metadata):
    header, chunks, offset = {"__metadata__": metadata}, [], 0
    for key, tensor in tensors.items():
        data = tensor.detach().contiguous().numpy().tobytes()
        entry = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape)}
        header[key] = {**entry, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


main()
