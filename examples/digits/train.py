#!/usr/bin/env python3
"""Trains the digits example and writes its two files, digits.npz and digits.onnx.

Data: the 1,797 handwritten digits of 8 x 8 pixels (codes 0..16) that scikit-learn ships, from the
UCI "Optical Recognition of Handwritten Digits". The network sees code / 16, a value in 0..1.

Needs, from PyPI: jax, optax, scikit-learn, onnx, onnxruntime, numpy. Made with jax 0.10.2,
optax 0.2.8, scikit-learn 1.9.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6. Takes two
to three minutes on one core (Linux). Every random choice comes from --seed.

    python3 examples/digits/train.py --output examples/digits
"""

import argparse
import os
import pathlib

# XLA splits sums by the number of cores it finds when it is loaded; one core gives the same weights
# on machines with any number of them.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import optax
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SCALE = 1.0 / 16.0  # Real pixel value = code * SCALE.
TEST_IMAGES = 540
STEM_CHANNELS = 16
HEAD_CHANNELS = 32
CLASSES = 10
OPSET = 17
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.9
BATCH_SIZE = 64
PEAK_LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1e-2


def load_split(seed):
    """The data as npz arrays: images uint8 [n,1,8,8], labels uint8 [n], one stratified split."""
    digits = load_digits()
    images = digits.images.astype(np.uint8)[:, np.newaxis, :, :]
    labels = digits.target.astype(np.uint8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=TEST_IMAGES, stratify=labels, random_state=seed)
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
        "scale": np.float64(SCALE),
    }


def initial_parameters(rng):
    """Weights drawn for ReLU layers (He et al. 2015); the state holds running mean and variance."""
    parameters, state = {}, {}

    def weights(name, shape):
        fan_in = int(np.prod(shape[1:]))
        parameters[name] = rng.normal(0.0, np.sqrt(2.0 / fan_in), shape).astype(np.float32)

    def batch_norm(name, channels):
        parameters[name + ".scale"] = np.ones(channels, np.float32)
        parameters[name + ".bias"] = np.zeros(channels, np.float32)
        state[name + ".mean"] = np.zeros(channels, np.float32)
        state[name + ".var"] = np.ones(channels, np.float32)

    weights("stem.weight", (STEM_CHANNELS, 1, 3, 3))
    batch_norm("stem.norm", STEM_CHANNELS)
    weights("depthwise.weight", (STEM_CHANNELS, 1, 3, 3))
    batch_norm("depthwise.norm", STEM_CHANNELS)
    weights("pointwise.weight", (STEM_CHANNELS, STEM_CHANNELS, 1, 1))
    batch_norm("pointwise.norm", STEM_CHANNELS)
    weights("head.weight", (HEAD_CHANNELS, STEM_CHANNELS, 3, 3))
    parameters["head.bias"] = np.zeros(HEAD_CHANNELS, np.float32)
    weights("classifier.weight", (CLASSES, HEAD_CHANNELS))
    parameters["classifier.bias"] = np.zeros(CLASSES, np.float32)
    return parameters, state


def convolve(x, weight, groups=1):
    """Stride 1, NCHW, zero padding that keeps height and width."""
    pad = weight.shape[2] // 2
    return jax.lax.conv_general_dilated(
        x, weight, (1, 1), [(pad, pad), (pad, pad)],
        dimension_numbers=("NCHW", "OIHW", "NCHW"), feature_group_count=groups)


def forward(parameters, state, x, training):
    """Logits [N,10] of images [N,1,8,8], and the state with the batch's statistics mixed in."""
    new_state = dict(state)

    def batch_norm(name, y):
        mean, variance = state[name + ".mean"], state[name + ".var"]
        if training:
            mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
            for key, value in ((".mean", mean), (".var", variance)):
                kept = BATCH_NORM_MOMENTUM * state[name + key]
                new_state[name + key] = kept + (1.0 - BATCH_NORM_MOMENTUM) * value
        factor = parameters[name + ".scale"] / jnp.sqrt(variance + BATCH_NORM_EPSILON)
        offset = parameters[name + ".bias"] - mean * factor
        return y * factor[:, None, None] + offset[:, None, None]

    stem = jax.nn.relu(batch_norm("stem.norm", convolve(x, parameters["stem.weight"])))
    y = convolve(stem, parameters["depthwise.weight"], groups=STEM_CHANNELS)
    y = jax.nn.relu(batch_norm("depthwise.norm", y))
    y = batch_norm("pointwise.norm", convolve(y, parameters["pointwise.weight"]))
    y = jax.nn.relu(y + stem)
    y = y.reshape(y.shape[0], y.shape[1], 4, 2, 4, 2).max((3, 5))
    y = convolve(y, parameters["head.weight"]) + parameters["head.bias"][:, None, None]
    y = jax.nn.relu(y).mean((2, 3))
    return y @ parameters["classifier.weight"].T + parameters["classifier.bias"], new_state


def make_epoch(optimizer):
    """One compiled pass over batches [steps,B,1,8,8] with labels [steps,B]."""

    def loss(parameters, state, images, labels):
        logits, new_state = forward(parameters, state, images, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), new_state

    def step(carry, batch):
        parameters, state, moments = carry
        (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(
            parameters, state, *batch)
        updates, moments = optimizer.update(gradient, moments, parameters)
        return (optax.apply_updates(parameters, updates), state, moments), value

    @jax.jit
    def epoch(carry, images, labels):
        carry, values = jax.lax.scan(step, carry, (images, labels))
        return carry, values.mean()

    return epoch


def shifted(images, rng):
    """Each image moved by -1, 0 or 1 pixels in both directions, the border filled with 0."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(2, 3))
    rows, columns = rng.choice(3, (2, len(images)), p=(0.2, 0.6, 0.2))
    return windows[np.arange(len(images)), :, rows, columns]


def train(images, labels, epochs, seed):
    """AdamW under a one-cycle learning rate; the last weights are taken, no test image is seen."""
    rng = np.random.default_rng(seed)
    parameters, state = initial_parameters(rng)
    steps = len(images) // BATCH_SIZE
    schedule = optax.cosine_onecycle_schedule(epochs * steps, PEAK_LEARNING_RATE)
    decayed = {name: name.endswith("weight") for name in parameters}
    optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY, mask=decayed)
    epoch = make_epoch(optimizer)
    carry = (parameters, state, optimizer.init(parameters))
    for index in range(1, epochs + 1):
        order = rng.permutation(len(images))[:steps * BATCH_SIZE]
        batch = shifted(images[order], rng).reshape(steps, BATCH_SIZE, 1, 8, 8)
        carry, value = epoch(carry, batch, labels[order].reshape(steps, BATCH_SIZE))
        if index % 20 == 0 or index == epochs:
            print(f"epoch {index:3d}  training loss {float(value):.4f}", flush=True)
    return jax.tree.map(np.asarray, carry[:2])


def make_nodes():
    """The layers as exported networks have them: batch normalization stands as its own node."""

    def conv(name, source, kernel, bias=False, **attributes):
        inputs = [source, name + ".weight"] + ([name + ".bias"] if bias else [])
        return helper.make_node("Conv", inputs, [name], name=name, kernel_shape=[kernel, kernel],
                                pads=[kernel // 2] * 4, strides=[1, 1], **attributes)

    def batch_norm(name):
        norm = name + ".norm"
        inputs = [name] + [norm + suffix for suffix in (".scale", ".bias", ".mean", ".var")]
        return helper.make_node("BatchNormalization", inputs, [norm], name=norm,
                                epsilon=BATCH_NORM_EPSILON)

    def node(op_type, inputs, output, **attributes):
        return helper.make_node(op_type, inputs, [output], name=output, **attributes)

    return [
        conv("stem", "image", 3),
        batch_norm("stem"),
        node("Relu", ["stem.norm"], "stem.relu"),
        conv("depthwise", "stem.relu", 3, group=STEM_CHANNELS),
        batch_norm("depthwise"),
        node("Relu", ["depthwise.norm"], "depthwise.relu"),
        conv("pointwise", "depthwise.relu", 1),
        batch_norm("pointwise"),
        node("Add", ["pointwise.norm", "stem.relu"], "residual"),
        node("Relu", ["residual"], "residual.relu"),
        node("MaxPool", ["residual.relu"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        conv("head", "pool", 3, bias=True),
        node("Relu", ["head"], "head.relu"),
        node("GlobalAveragePool", ["head.relu"], "average"),
        node("Flatten", ["average"], "features", axis=1),
        helper.make_node("Gemm", ["features", "classifier.weight", "classifier.bias"], ["logits"],
                         name="classifier", transB=1),
    ]


def write_onnx(path, parameters, state):
    initializers = [numpy_helper.from_array(value, name)
                    for name, value in {**parameters, **state}.items()]
    graph = helper.make_graph(
        make_nodes(), "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])],
        initializers, doc_string="Handwritten digits of 8 x 8 pixels; image = code / 16.")
    model = helper.make_model(graph, producer_name="examples/digits/train.py",
                              opset_imports=[helper.make_opsetid("", OPSET)],
                              ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def check_files(model_path, data_path, parameters, state):
    """Reads both files back and runs them; returns test accuracy and distance to the training."""
    with np.load(data_path) as data:
        images = data["test_images"].astype(np.float32) * np.float32(data["scale"])
        labels = data["test_labels"]
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})
    trained, _ = forward(parameters, state, images, training=False)
    return (logits.argmax(1) == labels).mean(), np.abs(logits - np.asarray(trained)).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent,
                        metavar="DIR", help="folder for digits.npz and digits.onnx")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    data = load_split(arguments.seed)
    images = data["train_images"].astype(np.float32) * np.float32(SCALE)
    parameters, state = train(images, data["train_labels"], arguments.epochs, arguments.seed)

    data_path = arguments.output / "digits.npz"
    model_path = arguments.output / "digits.onnx"
    np.savez_compressed(data_path, **data)
    write_onnx(model_path, parameters, state)
    accuracy, distance = check_files(model_path, data_path, parameters, state)
    if distance > 1e-3:
        raise SystemExit(f"{model_path} differs from the trained network by {distance}")
    count = sum(value.size for value in parameters.values())
    print(f"{data_path}: {len(images)} training and {len(data['test_images'])} test images, "
          f"{data_path.stat().st_size} bytes")
    print(f"{model_path}: {count} parameters, {model_path.stat().st_size} bytes")
    print(f"test accuracy {100 * accuracy:.2f} % (onnxruntime; largest difference to the "
          f"training program {distance:.1e})")


if __name__ == "__main__":
    main()
