#!/usr/bin/env python3
"""Trains the two transformers of this folder and writes vit.onnx and characters.onnx.

    tools/setup.sh networks
    .venv/bin/python examples/transformers/train.py [vit] [characters]

vit: a vision transformer with a convolutional stem (Xiao et al. 2021, "Early Convolutions Help
Transformers See Better") on CIFAR-10. characters: a decoder of single characters on tiny
Shakespeare. Data come from $TANDEM_DATA, every random choice from --seed. The state of a training
is kept in build/networks once a minute, so that a stopped one goes on where it was; weights are
written as 16-bit floats behind a Cast, and the figures printed at the end are those of the files,
run by onnxruntime. Made with torch 2.15.0, onnx 1.23.2, onnxruntime 1.32.0.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("TANDEM_DATA", REPO.parent / "shared/data"))
OPSET = 20  # the first one with Gelu
IR_VERSION = 9
HEAD_SIZE = 32
WIDTHS = {"vit": 160, "characters": 128}
DEPTHS = {"vit": 6, "characters": 5}
STEM = (3, 32, 64, 96, WIDTHS["vit"])  # channels; the first convolution alone keeps the size
TOKENS = 16                             # 4 x 4 places of the stem's output
CLASSES = 10
LENGTH = 128                            # characters that the decoder sees
# Added to scores of places that must not be seen. Scores of the trained network lie within 90, so
# that exp() of the difference is below 1e-33; narrow codes whose range holds it still tell scores
# apart, which they would not with -1e9.
UNSEEN = -256.0
EPSILON = 1e-5
BATCHES = {"vit": 128, "characters": 16}
PEAKS = {"vit": 1e-3, "characters": 2e-3}
EPOCH = 30_000 // BATCHES["vit"]        # steps
STEPS = {"vit": 18 * EPOCH, "characters": 3000}
WARMUP = {"vit": 1.2 * EPOCH, "characters": 150}  # steps
COOLDOWN = 0.35                         # share of the steps; before it the rate is constant
WEIGHT_DECAY = 0.05


# ---- The networks ----

class Block(nn.Module):
    """Pre-norm attention and a perceptron with GELU."""

    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, EPSILON), nn.LayerNorm(width, EPSILON)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, width // HEAD_SIZE, HEAD_SIZE)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        # Spelled out: the fused attention's gradient is the slower one on a CPU.
        scores = query @ key.transpose(2, 3) * HEAD_SIZE ** -0.5
        if mask is not None:
            scores = scores + mask
        mixed = torch.softmax(scores.float(), -1).to(scores.dtype) @ value
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Vit(nn.Module):
    """Logits [N,10] of images [N,3,32,32] with values in 0..1."""

    def __init__(self):
        super().__init__()
        width = WIDTHS["vit"]
        self.stem = nn.ModuleList(
            nn.Conv2d(STEM[i], STEM[i + 1], 3, 1 if i == 0 else 2, 1, bias=i == len(STEM) - 2)
            for i in range(len(STEM) - 1))
        self.stem_norms = nn.ModuleList(nn.BatchNorm2d(c, EPSILON) for c in STEM[1:-1])
        self.places = nn.Parameter(0.02 * torch.randn(1, TOKENS, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(DEPTHS["vit"]))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        for conv, norm in zip(self.stem, self.stem_norms):
            x = functional.relu(norm(conv(x)))
        x = self.stem[-1](x).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            x = block(x, None)
        return self.head(self.norm(x).mean(1))


class Characters(nn.Module):
    """Logits [N,128,V] of the next character for each place of ids [N,128]."""

    def __init__(self, vocabulary):
        super().__init__()
        width = WIDTHS["characters"]
        self.letters = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(1, LENGTH, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(DEPTHS["characters"]))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.register_buffer("mask", torch.from_numpy(causal_mask()), persistent=False)

    def forward(self, ids):
        x = self.letters(ids) + self.places
        for block in self.blocks:
            x = block(x, self.mask.to(x.dtype))
        return self.head(self.norm(x))


def causal_mask():
    return np.triu(np.full((LENGTH, LENGTH), UNSEEN, np.float32), 1)


def initialize(model):
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for block in model.blocks:  # the residual stream keeps its size whatever the depth (GPT-2)
        for layer in (block.out, block.down):
            nn.init.trunc_normal_(layer.weight, std=0.02 / math.sqrt(2 * len(model.blocks)))


# ---- Data ----

def cifar10(files):
    """Images uint8 [n,3,32,32] and labels [n] of the set's binary batches."""
    rows = np.concatenate([np.fromfile(DATA / "cifar10" / name, np.uint8).reshape(-1, 3073)
                           for name in files])
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def text():
    """Ids of the training and the validation part, and the characters in the order of ids."""
    letters = (DATA / "text/tinyshakespeare.txt").read_text(encoding="utf-8")
    vocabulary = "".join(sorted(set(letters)))
    number = {letter: i for i, letter in enumerate(vocabulary)}
    ids = np.array([number[letter] for letter in letters])
    split = len(ids) * 9 // 10
    return ids[:split], ids[split:], vocabulary


def validation_windows(ids):
    """Windows that do not overlap: ids [n,128] and the characters that follow each place."""
    count = (len(ids) - 1) // LENGTH
    return (ids[:count * LENGTH].reshape(count, LENGTH),
            ids[1:count * LENGTH + 1].reshape(count, LENGTH))


class Images:
    """Training batches by step: each epoch a new order, images mirrored and moved by up to 4."""

    def __init__(self, seed):
        images, labels = cifar10([f"data_batch_{i}.bin" for i in (1, 2, 3)])
        self.padded = torch.from_numpy(np.pad(images, ((0, 0), (0, 0), (4, 4), (4, 4)), "reflect"))
        self.labels, self.seed = torch.from_numpy(labels), seed

    def batch(self, step):
        size = BATCHES["vit"]
        epoch, place = divmod(step, len(self.labels) // size)
        order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(
            self.seed * 100_003 + epoch))
        chosen = order[place * size:(place + 1) * size]
        generator = torch.Generator().manual_seed(self.seed * 100_019 + step)
        rows, columns = (torch.randint(9, (size, 1), generator=generator) + torch.arange(32)
                         for _ in range(2))
        mirrored = torch.randint(2, (size, 1), generator=generator).bool()
        columns = torch.where(mirrored, columns.flip(1), columns)
        images = self.padded[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return images.permute(0, 3, 1, 2).float() / 255, self.labels[chosen]


class Windows:
    """Training batches by step: windows that begin anywhere."""

    def __init__(self, ids, seed):
        self.ids, self.seed = torch.from_numpy(ids), seed

    def batch(self, step):
        generator = torch.Generator().manual_seed(self.seed * 100_003 + step)
        starts = torch.randint(len(self.ids) - LENGTH, (BATCHES["characters"], 1),
                               generator=generator)
        places = starts + torch.arange(LENGTH)
        return self.ids[places], self.ids[places + 1]


# ---- Training ----

def rate(name, step, steps):
    """Warm-up, a constant part, and a linear way down to nothing."""
    left = (steps - step) / steps
    return PEAKS[name] * min(1.0, (step + 1) / WARMUP[name], left / COOLDOWN)


def optimizer_of(model, peak):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": WEIGHT_DECAY},
                              {"params": vectors, "weight_decay": 0.0}],
                             lr=peak, betas=(0.9, 0.98), fused=True)


def train(name, model, batches, smoothing, arguments):
    """AdamW in bf16 autocast over STEPS[name] steps; the last weights are taken."""
    steps = arguments.steps or STEPS[name]
    optimizer = optimizer_of(model, PEAKS[name])
    kept = arguments.state / f"{name}.state.pt"
    first, losses, saved = 0, [], time.monotonic()
    if kept.exists():
        state = torch.load(kept)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        print(f"{name}: goes on at step {first}", flush=True)
    model.train()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(name, step, steps)
        inputs, wanted = batches.batch(step)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(inputs)
        loss = functional.cross_entropy(logits.float().flatten(0, -2), wanted.flatten(),
                                        label_smoothing=smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            print(f"{name}: step {step + 1}/{steps}  training loss {np.mean(losses):.4f}",
                  flush=True)
            losses = []
        if time.monotonic() - saved > 60 or step + 1 == steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                     "step": step + 1}
            torch.save(state, kept.with_suffix(".new"))
            os.replace(kept.with_suffix(".new"), kept)
            saved = time.monotonic()
    model.eval()


# ---- ONNX ----

class Writer:
    """Nodes and initializers of a graph; a node bears the name of its output."""

    def __init__(self):
        self.nodes, self.initializers = [], []

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name, array):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name, parameter):
        """Vectors as f32; matrices as f16, which a Cast brings back."""
        array = parameter.detach().numpy().astype(np.float32)
        if array.ndim < 2:
            return self.constant(name, array)
        self.constant(name + ".f16", array.astype(np.float16))
        return self.node("Cast", [name + ".f16"], name, to=TensorProto.FLOAT)

    def norm(self, name, source, layer):
        scale, bias = (self.weight(f"{name}.{kind}", getattr(layer, kind))
                       for kind in ("weight", "bias"))
        return self.node("LayerNormalization", [source, scale, bias], name, axis=-1,
                         epsilon=EPSILON)

    def linear(self, name, source, weight, bias=None):
        """x W (+ b) with PyTorch's weight [out,in]."""
        matrix = self.weight(name + ".weight", weight.T)
        if bias is None:
            return self.node("MatMul", [source, matrix], name)
        product = self.node("MatMul", [source, matrix], name + ".matmul")
        return self.node("Add", [product, self.weight(name + ".bias", bias)], name)

    def attention(self, name, source, block, length, masked):
        width = block.out.in_features
        heads = self.constant(f"{name}.heads", np.array([0, length, width // HEAD_SIZE, HEAD_SIZE]))
        turned = {}
        for i, (part, order) in enumerate((("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]),
                                           ("value", [0, 2, 1, 3]))):
            rows = slice(i * width, (i + 1) * width)
            y = self.linear(f"{name}.{part}", source, block.qkv.weight[rows], block.qkv.bias[rows])
            y = self.node("Reshape", [y, heads], f"{name}.{part}.heads")
            turned[part] = self.node("Transpose", [y], f"{name}.{part}.turned", perm=order)
        scores = self.node("MatMul", [turned["query"], turned["key"]], f"{name}.scores")
        factor = self.constant(f"{name}.factor", np.float32(HEAD_SIZE ** -0.5))
        scores = self.node("Mul", [scores, factor], f"{name}.scaled")
        if masked:
            scores = self.node("Add", [scores, "mask"], f"{name}.masked")
        shares = self.node("Softmax", [scores], f"{name}.softmax", axis=-1)
        mixed = self.node("MatMul", [shares, turned["value"]], f"{name}.mixed")
        mixed = self.node("Transpose", [mixed], f"{name}.mixed.turned", perm=[0, 2, 1, 3])
        flat = self.constant(f"{name}.flat", np.array([0, length, width]))
        mixed = self.node("Reshape", [mixed, flat], f"{name}.mixed.flat")
        return self.linear(f"{name}.out", mixed, block.out.weight, block.out.bias)

    def blocks(self, x, model, length, masked):
        for i, block in enumerate(model.blocks):
            name = f"block{i}"
            y = self.norm(f"{name}.norm1", x, block.norm1)
            y = self.attention(f"{name}.attention", y, block, length, masked)
            x = self.node("Add", [x, y], f"{name}.residual1")
            y = self.norm(f"{name}.norm2", x, block.norm2)
            y = self.linear(f"{name}.up", y, block.up.weight, block.up.bias)
            y = self.node("Gelu", [y], f"{name}.gelu")
            y = self.linear(f"{name}.down", y, block.down.weight, block.down.bias)
            x = self.node("Add", [x, y], f"{name}.residual2")
        return self.norm("norm", x, model.norm)

    def save(self, path, inputs, outputs, description, metadata=None):
        graph = helper.make_graph(
            self.nodes, path.stem, [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs], self.initializers,
            doc_string=description)
        model = helper.make_model(graph, producer_name="examples/transformers/train.py",
                                  opset_imports=[helper.make_opsetid("", OPSET)],
                                  ir_version=IR_VERSION)
        helper.set_model_props(model, metadata or {})
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def write_vit(path, model):
    out = Writer()
    x = "image"
    for i, conv in enumerate(model.stem):
        name = f"stem{i}"
        inputs = [x, out.weight(f"{name}.weight", conv.weight)]
        if conv.bias is not None:
            inputs.append(out.weight(f"{name}.bias", conv.bias))
        x = out.node("Conv", inputs, name, kernel_shape=[3, 3], pads=[1] * 4,
                     strides=list(conv.stride))
        if i == len(model.stem) - 1:
            break
        norm = model.stem_norms[i]
        inputs = [x] + [out.weight(f"{name}.norm.{kind}", getattr(norm, kind))
                        for kind in ("weight", "bias", "running_mean", "running_var")]
        x = out.node("BatchNormalization", inputs, f"{name}.norm", epsilon=EPSILON)
        x = out.node("Relu", [x], f"{name}.relu")
    shape = out.constant("tokens.shape", np.array([0, WIDTHS["vit"], TOKENS]))
    x = out.node("Reshape", [x, shape], "tokens.flat")
    x = out.node("Transpose", [x], "tokens", perm=[0, 2, 1])
    x = out.node("Add", [x, out.weight("places", model.places)], "placed")
    x = out.blocks(x, model, TOKENS, masked=False)
    axes = out.constant("average.axes", np.array([1]))
    x = out.node("ReduceMean", [x, axes], "average", keepdims=0)
    out.linear("logits", x, model.head.weight, model.head.bias)
    out.save(path, [("image", TensorProto.FLOAT, ["N", 3, 32, 32])],
             [("logits", TensorProto.FLOAT, ["N", CLASSES])],
             "CIFAR-10; image = code / 255, planes red, green, blue.")


def write_characters(path, model, vocabulary):
    out = Writer()
    out.constant("mask", causal_mask())
    x = out.node("Gather", [out.weight("letters", model.letters.weight), "ids"], "embedded")
    x = out.node("Add", [x, out.weight("places", model.places)], "placed")
    x = out.blocks(x, model, LENGTH, masked=True)
    out.linear("logits", x, model.head.weight)
    out.save(path, [("ids", TensorProto.INT64, ["N", LENGTH])],
             [("logits", TensorProto.FLOAT, ["N", LENGTH, len(vocabulary)])],
             "Tiny Shakespeare; the id of a character is its place in `vocabulary`.",
             {"vocabulary": vocabulary})


# ---- The two networks from end to end ----

def outputs_of(path, inputs, batch=100):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: inputs[i:i + batch]})[0]
                           for i in range(0, len(inputs), batch)])


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def check(path, model, sample):
    """Distance of the file's logits to the trained network's, which f16 weights cause."""
    with torch.no_grad():
        wanted = model(torch.from_numpy(sample)).numpy()
    distance = np.abs(outputs_of(path, sample) - wanted).max()
    if distance > 0.05 * np.abs(wanted).max():
        raise SystemExit(f"{path} differs from the trained network by {distance}")
    print(f"{path}: {count(model)} parameters, {path.stat().st_size} bytes; logits up to "
          f"{np.abs(wanted).max():.1f}, largest difference to the training program "
          f"{distance:.1e}")


def make_vit(arguments):
    model = Vit()
    initialize(model)
    model = model.to(memory_format=torch.channels_last)
    train("vit", model, Images(arguments.seed), 0.1, arguments)
    path = arguments.output / "vit.onnx"
    write_vit(path, model)
    images, labels = cifar10(["test_batch.bin"])
    images = images.astype(np.float32) / 255
    check(path, model, images[:100])
    accuracy = (outputs_of(path, images).argmax(1) == labels).mean()
    print(f"{path}: test accuracy {100 * accuracy:.2f} % of {len(labels)} images (onnxruntime)")


def make_characters(arguments):
    training, validation, vocabulary = text()
    model = Characters(len(vocabulary))
    initialize(model)
    train("characters", model, Windows(training, arguments.seed), 0.0, arguments)
    path = arguments.output / "characters.onnx"
    write_characters(path, model, vocabulary)
    ids, following = validation_windows(validation)
    check(path, model, ids[:20])
    logits = outputs_of(path, ids).astype(np.float64)
    chances = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.take_along_axis(chances, following[..., None], -1).mean()
    print(f"{path}: validation loss {loss:.4f} nats, perplexity {math.exp(loss):.3f} over "
          f"{following.size} characters (onnxruntime)")


MAKERS = {"vit": make_vit, "characters": make_characters}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *MAKERS], metavar="NAME",
                        help="all: " + ", ".join(MAKERS))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="DIR")
    parser.add_argument("--state", type=Path, default=REPO / "build/networks", metavar="DIR",
                        help="where a training's state is kept")
    parser.add_argument("--steps", type=int, help="other than the network's own number")
    parser.add_argument("--threads", type=int, default=1,
                        help="another number splits sums otherwise, so that weights differ")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for folder in (arguments.output, arguments.state):
        folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or MAKERS:
        torch.manual_seed(arguments.seed)
        MAKERS[name](arguments)


if __name__ == "__main__":
    main()
