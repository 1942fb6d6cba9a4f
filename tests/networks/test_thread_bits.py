"""The bits of whole networks on this processor for any number of threads.

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
    try:
        network = tandem.load(str(model))
        network.run(inputs_of(model), execution="cpu")
    except tandem.Error as error:
        pytest.skip(f"not taken: {str(error).splitlines()[0]}")
    inputs, before, first = inputs_of(model), tandem.thread_count(), None
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
