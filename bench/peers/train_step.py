"""One pre-training step of ViT-B/32 in PyTorch, random weights: forward of both towers, symmetric loss, backward,
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


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 32, 32, bias=False)
        self.class_token = nn.Parameter(torch.randn(768) * 768**-0.5)
        self.image_positions = nn.Parameter(torch.randn(50, 768) * 768**-0.5)
        self.ln_pre, self.ln_post = nn.LayerNorm(768), nn.LayerNorm(768)
        self.image_blocks = nn.Sequential(*[Block(768, 12) for _ in range(12)])
        self.image_projection = nn.Parameter(torch.randn(768, 512) * 768**-0.5)
        mask = torch.full((77, 77), float("-inf")).triu(1)
        self.tokens = nn.Embedding(49408, 512)
        self.text_positions = nn.Parameter(torch.randn(77, 512) * 0.01)
        self.text_blocks = nn.Sequential(*[Block(512, 8, mask) for _ in range(12)])
        self.ln_final = nn.LayerNorm(512)
        self.text_projection = nn.Parameter(torch.randn(512, 512) * 512**-0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, pixels, ids):
        x = self.patches(pixels).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(len(x), 1, -1), x], 1) + self.image_positions
        x = self.image_blocks(self.ln_pre(x).permute(1, 0, 2)).permute(1, 0, 2)
        image = F.normalize(self.ln_post(x[:, 0]) @ self.image_projection, dim=-1)
        y = self.tokens(ids) + self.text_positions
        y = self.ln_final(self.text_blocks(y.permute(1, 0, 2)).permute(1, 0, 2))
        text = F.normalize(y[torch.arange(len(y)), ids.argmax(-1)] @ self.text_projection, dim=-1)
        logits = self.logit_scale.exp() * image @ text.T
        labels = torch.arange(len(logits))
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


model = Clip()
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
