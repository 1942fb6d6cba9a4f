"""The networks of examples/transformers: their numbers beside ONNX Runtime's, their accuracy."""

import math
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import REPO

import tandem

FOLDER = REPO / "examples/transformers"
DATA = Path(os.environ.get("TANDEM_DATA", REPO.parent / "shared/data"))


def elsewhere(name, inputs):
    session = onnxruntime.InferenceSession(FOLDER / name, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def images(count):
    path = DATA / "cifar10/test_batch.bin"
    if not path.exists():
        pytest.skip(f"{path} is absent: TANDEM_DATA names the folder of the data")
    rows = np.fromfile(path, np.uint8, count * 3073).reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).astype("f4") / np.float32(255), rows[:, 0]


def windows(count):
    path = DATA / "text/tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"{path} is absent: TANDEM_DATA names the folder of the data")
    text = path.read_text(encoding="utf-8")
    properties = onnx.load(FOLDER / "characters.onnx").metadata_props
    vocabulary = next(entry.value for entry in properties if entry.key == "vocabulary")
    number = {letter: i for i, letter in enumerate(vocabulary)}
    ids = np.array([number[letter] for letter in text[len(text) * 9 // 10:]])[:count * 128 + 1]
    return ids[:-1].reshape(count, 128), ids[1:].reshape(count, 128)


@pytest.mark.parametrize("execution", ["cpu", "reference"])
def test_both_agree_with_onnxruntime(execution):
    rng = np.random.default_rng(1)
    for name, inputs in (("vit.onnx", {"image": rng.random((4, 3, 32, 32), "f4")}),
                         ("characters.onnx", {"ids": rng.integers(0, 65, (3, 128))})):
        y = tandem.load(FOLDER / name).run(inputs, execution=execution)["logits"]
        expected = elsewhere(name, inputs)
        assert np.abs(y - expected).max() < 1e-5 * np.abs(expected).max()


def test_vit_tells_images_apart():
    inputs, labels = images(500)
    logits = tandem.load(FOLDER / "vit.onnx").run({"image": inputs}, execution="cpu")["logits"]
    assert (logits.argmax(1) == labels).mean() > 0.65


def test_characters_are_foreseen():
    ids, following = windows(40)
    logits = tandem.load(FOLDER / "characters.onnx").run({"ids": ids}, execution="cpu")["logits"]
    logits = logits.astype("f8")
    chances = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss = -np.take_along_axis(chances, following[..., None], -1).mean()
    assert loss < 1.7 and math.exp(loss) < 5.5


def test_no_character_sees_a_later_one():
    ids, _ = windows(20)
    network = tandem.load(FOLDER / "characters.onnx")
    first = network.run({"ids": ids})["logits"]
    ids[:, 64:] = np.roll(ids, 1, 0)[:, 64:]
    second = network.run({"ids": ids})["logits"]
    assert np.array_equal(first[:, :64], second[:, :64])
    assert np.abs(first[:, 64:] - second[:, 64:]).max() > 1
