"""Whole networks on this processor: their bits for any number of threads, and empty caches.

Needs the networks that `make bench-host` leaves in build/networks.
"""

from pathlib import Path

import numpy as np
import pytest

import tandem

FOLDER = Path(__file__).resolve().parents[2] / "build/networks"
MODELS = sorted(FOLDER.glob("*.onnx"))


def inputs_of(model):
    """What lies beside the network, or beside the one of which it is a quantized form."""
    for name in (model.stem, model.stem.rsplit(".", 1)[0]):
        if (FOLDER / f"{name}.npz").exists():
            with np.load(FOLDER / f"{name}.npz") as archive:
                return dict(archive)
    pytest.fail(f"no inputs lie beside {model}")


@pytest.mark.skipif(bool(MODELS), reason="there are networks")
def test_networks_are_there():
    pytest.skip(f"no networks in {FOLDER}: tools/setup.sh networks, then tools/export_networks.py "
                "and tools/quantize_networks.py write them (make bench-host does)")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.stem)
def test_bits_do_not_depend_on_threads(model):
    network, inputs = tandem.load(str(model)), inputs_of(model)
    before, first = tandem.thread_count(), None
    try:
        for threads in (1, 2, 3, 4):
            tandem.set_thread_count(threads)
            outputs = network.run(inputs, execution="cpu")
            first = first or outputs
            assert outputs.keys() == first.keys()
            for name, array in outputs.items():
                assert array.tobytes() == first[name].tobytes(), f"{name}, {threads} threads"
    finally:
        tandem.set_thread_count(before)


@pytest.mark.parametrize("model", [m for m in MODELS if m.stem in ("gpt2", "llama")],
                         ids=lambda model: model.stem)
def test_decoders_begin_with_an_empty_cache(model):
    onnxruntime = pytest.importorskip("onnxruntime")
    network, inputs = tandem.load(str(model)), inputs_of(model)
    length = 5
    inputs["ids"] = np.arange(length, dtype=np.int64)[None]
    inputs["mask"] = np.ones((1, length), np.int64)
    for name in inputs:
        if name.startswith("past_"):
            inputs[name] = inputs[name][:, :, :0]
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    expected = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))
    outputs = network.run(inputs, execution="cpu")
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        assert outputs[name].shape == array.shape
        assert np.abs(outputs[name] - array).max() <= 1e-4 * np.abs(array).max(), name
