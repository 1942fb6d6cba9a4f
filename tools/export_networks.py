#!/usr/bin/env python3
"""Writes the networks of `make bench-host` as ONNX files with seeded random weights.

    tools/export_networks.py build/networks [NAME...]

Beside NAME.onnx lies NAME.npz, inputs for it, and of networks whose sizes may vary NAME.SIZES.npz,
inputs of other sizes. Architectures are those of torchvision and timm, or
small ones of a class written here; weights are random, since agreement and speed are what is asked.
Needs the set-up group `networks` (tools/setup.sh networks).
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional

SEED = 7
VISION = {"resnet18": "resnet18", "resnet50": "resnet50", "mobilenet_v2": "mobilenet_v2",
          "mobilenet_v3": "mobilenet_v3_large", "efficientnet_b0": "efficientnet_b0",
          "shufflenet_v2": "shufflenet_v2_x1_0", "squeezenet": "squeezenet1_1",
          "densenet121": "densenet121", "vit_b16": "vit_b_16", "swin_t": "swin_t",
          "convnext_t": "convnext_tiny"}


# ---- Language ----

class Attention(nn.Module):
    """Causal where it is told so; grouped queries where there are fewer heads of keys."""

    def __init__(self, width, heads, key_heads=None, bias=True):
        super().__init__()
        self.heads, self.key_heads, self.size = heads, key_heads or heads, width // heads
        self.query = nn.Linear(width, heads * self.size, bias)
        self.key = nn.Linear(width, self.key_heads * self.size, bias)
        self.value = nn.Linear(width, self.key_heads * self.size, bias)
        self.out = nn.Linear(heads * self.size, width, bias)

    def split(self, x, heads):
        return x.reshape(x.shape[0], x.shape[1], heads, self.size).transpose(1, 2)

    def forward(self, x, mask, past=None, rotate=None):
        query = self.split(self.query(x), self.heads)
        key = self.split(self.key(x), self.key_heads)
        value = self.split(self.value(x), self.key_heads)
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        cache = (key, value)
        if self.key_heads != self.heads:
            repeat = self.heads // self.key_heads
            shape = (key.shape[0], self.heads, key.shape[2], self.size)
            key = key[:, :, None].expand(-1, -1, repeat, -1, -1).reshape(shape)
            value = value[:, :, None].expand(-1, -1, repeat, -1, -1).reshape(shape)
        scores = query @ key.transpose(2, 3) / self.size ** 0.5 + mask
        mixed = torch.softmax(scores, -1) @ value
        mixed = mixed.transpose(1, 2).reshape(x.shape[0], x.shape[1], self.heads * self.size)
        return self.out(mixed), cache


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)


class BertClass(nn.Module):
    """Post-norm encoder; ids and mask (1 where a token is) are [batch, length]. Positions are cut
    from a buffer by the length, and masks widened by the shape, as the usual models do."""

    def __init__(self, vocabulary=30522, width=384, heads=12, layers=6, longest=512):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
        self.norm = nn.LayerNorm(width)
        self.kinds = nn.Embedding(2, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.register_buffer("positions", torch.arange(longest)[None])
        self.register_buffer("kind", torch.zeros(1, longest, dtype=torch.long))

    def forward(self, ids, mask):
        batch, length = ids.shape
        kinds = self.kind[:, :length].expand(batch, length)
        x = self.words(ids) + self.kinds(kinds) + self.places(self.positions[:, :length])
        x = self.norm(x)
        hidden = (1.0 - mask[:, None, None, :].float()) * -10000.0
        for block in self.blocks:
            x = block.norm1(x + block.attention(x, hidden)[0])
            x = block.norm2(x + block.down(functional.gelu(block.up(x))))
        return x


class Gpt2Class(nn.Module):
    """Pre-norm decoder. ids are [batch, length], the mask (1 where a token is, of the cache and of
    ids) [batch, past + length]; caches are [batch, heads, past, size], keys and values of each
    layer. Positions and the causal mask are computed from the shapes."""

    def __init__(self, vocabulary=16384, width=512, heads=8, layers=6, longest=1024):
        super().__init__()
        self.heads, self.layers, self.size = heads, layers, width // heads
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        before = torch.tril(torch.ones(longest, longest, dtype=torch.bool))
        self.register_buffer("before", before[None, None], persistent=False)

    def forward(self, ids, mask, *caches):
        length, past = ids.shape[1], caches[0].shape[2]
        places = torch.arange(past, past + length, device=ids.device)[None]
        least = torch.finfo(torch.float32).min
        causal = self.before[:, :, past:past + length, :past + length]
        hidden = (1.0 - mask[:, None, None, :].float()) * least
        hidden = torch.where(causal, hidden, torch.full([], least))
        x = self.words(ids) + self.places(places)
        written = []
        for i, block in enumerate(self.blocks):
            mixed, cache = block.attention(block.norm1(x), hidden, caches[2 * i: 2 * i + 2])
            written += cache
            x = x + mixed
            x = x + block.down(functional.gelu(block.up(block.norm2(x)), approximate="tanh"))
        return (self.head(self.norm(x)), *written)


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.scale


class LlamaClass(nn.Module):
    """Decoder with RMS normalization, rotary places, grouped queries and gated units; its inputs
    are those of Gpt2Class."""

    def __init__(self, vocabulary=16384, width=512, heads=8, key_heads=2, layers=6, inner=1408):
        super().__init__()
        self.heads, self.key_heads = heads, key_heads
        self.layers, self.size = layers, width // heads
        self.words = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.norm = RmsNorm(width)
        self.blocks = nn.ModuleList()
        for _ in range(layers):
            block = nn.Module()
            block.norm1, block.norm2 = RmsNorm(width), RmsNorm(width)
            block.attention = Attention(width, heads, key_heads, bias=False)
            block.gate, block.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
            block.down = nn.Linear(inner, width, bias=False)
            self.blocks.append(block)
        frequencies = 10000.0 ** (-torch.arange(0, self.size, 2).float() / self.size)
        self.register_buffer("frequencies", frequencies)

    def forward(self, ids, mask, *caches):
        batch, length, past = ids.shape[0], ids.shape[1], caches[0].shape[2]
        places = torch.arange(past, past + length, device=ids.device)
        frequencies = self.frequencies[None, :, None].expand(batch, -1, 1)
        angles = frequencies @ places[None, None, :].expand(batch, 1, -1).float()
        angles = angles.transpose(1, 2)[:, None]
        angles = torch.cat([angles, angles], -1)
        cosine, sine = angles.cos(), angles.sin()
        least = torch.finfo(torch.float32).min
        hidden = torch.full((length, past + length), least)
        hidden = hidden * (torch.arange(past + length) > places.reshape(-1, 1)).float()
        hidden = hidden[None, None].expand(batch, 1, -1, -1)
        hidden = hidden.masked_fill(mask[:, None, None, :past + length] == 0, least)

        def rotate(x):
            left, right = x[..., : self.size // 2], x[..., self.size // 2:]
            return x * cosine + torch.cat([-right, left], -1) * sine

        x, written = self.words(ids), []
        for i, block in enumerate(self.blocks):
            mixed, cache = block.attention(block.norm1(x), hidden, caches[2 * i: 2 * i + 2],
                                           rotate)
            written += cache
            x = x + mixed
            inner = block.norm2(x)
            x = x + block.down(functional.silu(block.gate(inner)) * block.up(inner))
        return (self.head(self.norm(x)), *written)


# ---- Speech and detection ----

class LstmSpeech(nn.Module):
    """Frames of 80 bands to scores of 32 letters."""

    def __init__(self, bands=80, width=320, letters=32):
        super().__init__()
        self.lstm = nn.LSTM(bands, width, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * width, letters)

    def forward(self, frames):
        return functional.log_softmax(self.head(self.lstm(frames)[0]), -1)


class ConvUnit(nn.Sequential):
    def __init__(self, channels, filters, kernel=3, stride=1):
        super().__init__(nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(filters), nn.SiLU())


class CrossStage(nn.Module):
    """Half of the channels go through residual units, half around them."""

    def __init__(self, channels, units):
        super().__init__()
        half = channels // 2
        self.left, self.right = ConvUnit(channels, half, 1), ConvUnit(channels, half, 1)
        self.units = nn.ModuleList(
            nn.Sequential(ConvUnit(half, half, 1), ConvUnit(half, half)) for _ in range(units))
        self.out = ConvUnit(channels, channels, 1)

    def forward(self, x):
        left = self.left(x)
        for unit in self.units:
            left = left + unit(left)
        return self.out(torch.cat([left, self.right(x)], 1))


class YoloClass(nn.Module):
    """Boxes and classes at three scales, those of enough confidence, and non-maximum suppression:
    how many are left is up to the image."""

    def __init__(self, width=32, classes=20):
        super().__init__()
        self.classes = classes
        self.stem = ConvUnit(3, width, 6 // 2, 2)
        channels = [width * 2, width * 4, width * 8, width * 16]
        before = [width, *channels[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(a, b, 3, 2), CrossStage(b, 1 + (b > 64)))
            for a, b in zip(before, channels))
        self.lateral = nn.ModuleList(ConvUnit(c, channels[1], 1) for c in channels[1:])
        self.mix = nn.ModuleList(CrossStage(2 * channels[1], 1) for _ in range(2))
        self.narrow = nn.ModuleList(ConvUnit(2 * channels[1], channels[1], 1) for _ in range(2))
        self.heads = nn.ModuleList(nn.Conv2d(channels[1], 5 + classes, 1) for _ in range(3))

    def forward(self, image):
        levels, x = [], self.stem(image)
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i > 0:
                levels.append(self.lateral[i - 1](x))
        for i in (1, 0):
            upper = functional.interpolate(levels[i + 1], scale_factor=2.0, mode="nearest")
            levels[i] = self.narrow[i](self.mix[i](torch.cat([levels[i], upper], 1)))
        found = []
        for level, (x, head) in enumerate(zip(levels, self.heads)):
            stride = 8 << level
            rows, columns = x.shape[2], x.shape[3]
            places = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows),
                                                indexing="xy"), -1).reshape(-1, 2)
            out = head(x).flatten(2).transpose(1, 2)[0]
            middle = (torch.sigmoid(out[:, :2]) + places) * stride
            half = torch.exp(out[:, 2:4].clamp(max=4)) * stride / 2
            scores = torch.sigmoid(out[:, 4:5]) * torch.sigmoid(out[:, 5:])
            found.append(torch.cat([middle - half, middle + half, scores], 1))
        found = torch.cat(found)
        best, kind = found[:, 4:].max(1)
        sure = best > 0.97
        boxes, best, kind = found[sure, :4], best[sure], kind[sure]
        kept = torchvision.ops.nms(boxes, best, 0.45)
        return boxes[kept], best[kept], kind[kept]


# ---- Writing ----

def randomize(model):
    """Weights that some constructors leave at zero, so that the network computes something."""
    generator = torch.Generator().manual_seed(SEED)
    for parameter in model.parameters():
        if parameter.numel() > 1 and not parameter.detach().any():
            parameter.data.normal_(0, 0.02, generator=generator)


def write(folder, name, model, inputs, outputs, dynamic=None):
    """Exports a module; `inputs` are tensors by name, `dynamic` names axes that may vary."""
    randomize(model)
    model.eval()
    path = folder / f"{name}.onnx"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, tuple(inputs.values()), path, input_names=list(inputs),
                          output_names=outputs, dynamic_axes=dynamic, opset_version=17,
                          dynamo=False)
    np.savez(path.with_suffix(".npz"), **{key: value.numpy() for key, value in inputs.items()})


def image(size=224):
    return {"image": torch.randn(1, 3, size, size)}


def export_vision(folder, name):
    model = getattr(torchvision.models, VISION[name])(weights=None)
    write(folder, name, model, image(), ["scores"])


def export_deit(folder, name):
    import timm  # pylint: disable=import-outside-toplevel
    # Attention spelled out, so that the file holds ordinary operators.
    timm.layers.set_fused_attn(False)
    write(folder, name, timm.create_model("deit_tiny_patch16_224", pretrained=False), image(),
          ["scores"])


def save_inputs(folder, name, sizes, inputs):
    """Inputs of other sizes, NAME.SIZES.npz."""
    arrays = {key: value.numpy() for key, value in inputs.items()}
    np.savez(folder / f"{name}.{sizes}.npz", **arrays)


def bert_inputs(batch, length):
    return {"ids": torch.randint(0, 30522, (batch, length)),
            "mask": (torch.arange(length)[None] < torch.tensor([[length - i * length // 8]
                                                                for i in range(batch)])).long()}


def export_bert(folder, name):
    axes = {0: "batch", 1: "length"}
    write(folder, name, BertClass(), bert_inputs(1, 128), ["hidden"],
          {"ids": axes, "mask": axes})
    for batch, length in ((1, 1), (2, 7), (3, 300), (1, 512)):
        save_inputs(folder, name, f"{batch}x{length}", bert_inputs(batch, length))


def decoder_inputs(model, key_heads, batch, length, past):
    mask = torch.ones(batch, past + length, dtype=torch.long)
    mask[1:, :past // 3] = 0
    inputs = {"ids": torch.randint(0, 16384, (batch, length)), "mask": mask}
    for layer in range(model.layers):
        for kind in ("key", "value"):
            inputs[f"past_{kind}_{layer}"] = torch.randn(batch, key_heads, past, model.size)
    return inputs


def export_decoder(folder, name, model, key_heads):
    """One new token behind a cache of 128; other inputs begin with an empty cache."""
    dynamic = {"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "total"}}
    inputs = decoder_inputs(model, key_heads, 1, 1, 128)
    outputs = ["scores"]
    for key in list(inputs)[2:]:
        dynamic[key] = {0: "batch", 2: "past"}
        outputs.append(key.removeprefix("past_"))
    write(folder, name, model, inputs, outputs, dynamic)
    for batch, length, past in ((1, 16, 0), (1, 16, 1), (2, 5, 33), (3, 1, 300)):
        save_inputs(folder, name, f"{batch}x{length}_past{past}",
                    decoder_inputs(model, key_heads, batch, length, past))


def export_gpt2(folder, name):
    model = Gpt2Class()
    export_decoder(folder, name, model, model.heads)


def export_llama(folder, name):
    model = LlamaClass()
    export_decoder(folder, name, model, model.key_heads)


def export_lstm(folder, name):
    write(folder, name, LstmSpeech(), {"frames": torch.randn(1, 100, 80)}, ["letters"])


def normalize(model, inputs):
    """Statistics of the inputs in place of a training, so that features differ."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(*inputs.values())


def export_yolo(folder, name):
    model, inputs = YoloClass(), image(320)
    for head in model.heads:
        nn.init.normal_(head.weight, std=0.3)
    normalize(model, inputs)
    write(folder, name, model, inputs, ["boxes", "best", "kind"])
    for other in range(2):
        save_inputs(folder, name, f"image{other}", image(320))


def export_forest(folder, name):
    # pylint: disable=import-outside-toplevel
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    samples, kinds = make_classification(2000, 32, n_informative=12, n_classes=5,
                                         random_state=SEED)
    samples = samples.astype("f4")
    forest = RandomForestClassifier(100, max_depth=10, random_state=SEED).fit(samples, kinds)
    model = to_onnx(forest, samples[:1], options={"zipmap": False}, target_opset=17)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    for suffix, count in ((".npz", 1), (".2000.npz", len(samples))):
        np.savez(path.with_suffix(suffix), **{model.graph.input[0].name: samples[:count]})


EXPORTERS = {**dict.fromkeys(VISION, export_vision), "deit_tiny": export_deit,
             "bert": export_bert, "gpt2": export_gpt2, "llama": export_llama,
             "lstm_speech": export_lstm, "yolo": export_yolo, "forest": export_forest}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *EXPORTERS],
                        help="all: " + ", ".join(EXPORTERS))
    parser.add_argument("--force", action="store_true", help="also those that are there")
    arguments = parser.parse_args()
    # Attention as a chain of ordinary operators, which can be written as ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or EXPORTERS:
        if (arguments.folder / f"{name}.npz").exists() and not arguments.force:
            continue
        torch.manual_seed(SEED)
        EXPORTERS[name](arguments.folder, name)
        print(arguments.folder / f"{name}.onnx", flush=True)


if __name__ == "__main__":
    main()
