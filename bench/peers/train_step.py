"""One pre-training step of ViT-B/32 or RN50 in PyTorch, random weights: forward of both towers, symmetric loss, backward,
gradient clipping, AdamW. Prints JSON: seconds of each step and the peak of resident memory."""
import argparse
import json
import math
import time

import torch
from torch import nn
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--model", choices=["ViT-B-32", "RN50"], default="ViT-B-32")
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width, heads, mask=None):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), QuickGelu(), nn.Linear(4 * width, width))
        self.mask = mask

    def forward(self, x):
        y = self.ln1(x)
        x = x + self.attention(y, y, y, need_weights=False, attn_mask=self.mask)[0]
        return x + self.mlp(self.ln2(x))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 32, 32, bias=False)
        self.class_token = nn.Parameter(torch.randn(768) * 768**-0.5)
        self.positions = nn.Parameter(torch.randn(50, 768) * 768**-0.5)
        self.ln_pre, self.ln_post = nn.LayerNorm(768), nn.LayerNorm(768)
        self.blocks = nn.Sequential(*[Block(768, 12) for _ in range(12)])
        self.projection = nn.Parameter(torch.randn(768, 512) * 768**-0.5)

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1) + self.positions
        x = self.blocks(self.ln_pre(x).permute(1, 0, 2)).permute(1, 0, 2)
        return self.ln_post(x[:, 0]) @ self.projection


def conv(size, before, after, stride=1):
    return [nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after)]


class Bottleneck(nn.Module):
    """Strides are average pooling, on the shortcut too."""

    def __init__(self, before, width, stride):
        super().__init__()
        pool = [nn.AvgPool2d(stride)] if stride > 1 else []
        self.path = nn.Sequential(*conv(1, before, width), nn.ReLU(), *conv(3, width, width), nn.ReLU(), *pool,
                                  *conv(1, width, 4 * width))
        changes = stride > 1 or before != 4 * width
        self.shortcut = nn.Sequential(*pool, *conv(1, before, 4 * width)) if changes else nn.Identity()

    def forward(self, x):
        return torch.relu(self.path(x) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [*conv(3, 3, 32, 2), nn.ReLU(), *conv(3, 32, 32), nn.ReLU(), *conv(3, 32, 64), nn.ReLU(), nn.AvgPool2d(2)]
        before = 64
        for width, blocks, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
            for block in range(blocks):
                layers.append(Bottleneck(before, width, stride if block == 0 else 1))
                before = 4 * width
        self.layers = nn.Sequential(*layers)
        self.positions = nn.Parameter(torch.randn(50, 2048) * 2048**-0.5)
        self.q, self.k, self.v = nn.Linear(2048, 2048), nn.Linear(2048, 2048), nn.Linear(2048, 2048)
        self.out = nn.Linear(2048, 1024)

    def forward(self, pixels):
        x = self.layers(pixels).flatten(2).permute(0, 2, 1)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positions
        heads = lambda y: y.unflatten(2, (32, 64)).transpose(1, 2)
        q, k, v = heads(self.q(x[:, :1])), heads(self.k(x)), heads(self.v(x))
        attended = (q @ k.transpose(2, 3) * 64**-0.5).softmax(3) @ v
        return self.out(attended.transpose(1, 2).flatten(1))


class Clip(nn.Module):
    def __init__(self, image_tower, embed_dim):
        super().__init__()
        self.image_tower = image_tower
        mask = torch.full((77, 77), float("-inf")).triu(1)
        self.tokens = nn.Embedding(49408, 512)
        self.text_positions = nn.Parameter(torch.randn(77, 512) * 0.01)
        self.text_blocks = nn.Sequential(*[Block(512, 8, mask) for _ in range(12)])
        self.ln_final = nn.LayerNorm(512)
        self.text_projection = nn.Parameter(torch.randn(512, embed_dim) * 512**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, pixels, ids):
        image = F.normalize(self.image_tower(pixels), dim=-1)
        y = self.tokens(ids) + self.text_positions
        y = self.ln_final(self.text_blocks(y.permute(1, 0, 2)).permute(1, 0, 2))
        text = F.normalize(y[torch.arange(len(y)), ids.argmax(-1)] @ self.text_projection, dim=-1)
        logits = self.logit_scale.exp() * image @ text.T
        labels = torch.arange(len(logits))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


model = Clip(Vit(), 512) if args.model == "ViT-B-32" else Clip(ResNet(), 1024)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)
pixels = torch.randn(args.batch, 3, 224, 224)
ids = torch.randint(1, 49000, (args.batch, 77))
ids[:, -1] = 49407

steps, updates = [], []
for _ in range(args.steps):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    loss = model(pixels, ids)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    before = time.perf_counter()
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    end = time.perf_counter()
    steps.append(end - start)
    updates.append(end - before)

peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
parameters = sum(parameter.numel() for parameter in model.parameters())
print(json.dumps({"steps": steps, "updates": updates, "peakBytes": peak * 1024, "parameters": parameters,
                  "version": torch.__version__, "loss": loss.item()}))
