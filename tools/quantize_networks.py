#!/usr/bin/env python3
"""Writes int8 networks in the QDQ form for the host's benchmark.

    tools/quantize_networks.py OUTPUT_DIR NETWORK.onnx...

For each float network two files, NAME.u8.onnx and NAME.s8.onnx: int8 weights with one scale for
each output channel, activations of uint8 or int8, calibrated by onnxruntime on seeded normal noise.
Files that are newer than their network stay as they are.
Only speed and agreement of executions are measured with them, so the noise does no harm. Needs
`tools/setup.sh bench`.
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

ACTIVATIONS = {"u8": QuantType.QUInt8, "s8": QuantType.QInt8}


class Noise(CalibrationDataReader):
    """Batches of normal noise for every input of a network."""

    def __init__(self, network: Path, batches: int):
        random = np.random.default_rng(0)
        session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
        self.batches = iter(
            [
                {i.name: random.standard_normal(i.shape, np.float32) for i in session.get_inputs()}
                for _ in range(batches)
            ]
        )

    def get_next(self):
        return next(self.batches, None)


def quantize(network: Path, output: Path, activations: QuantType, batches: int) -> None:
    """Writes the quantized network, checked by onnx."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(output),
            Noise(prepared, batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=activations,
        )
    onnx.checker.check_model(str(output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("networks", type=Path, nargs="+")
    parser.add_argument("--batches", type=int, default=4, help="samples for calibration")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for network in arguments.networks:
        for suffix, activations in ACTIVATIONS.items():
            output = arguments.output / f"{network.stem}.{suffix}.onnx"
            if output.exists() and output.stat().st_mtime > network.stat().st_mtime:
                continue
            quantize(network, output, activations, arguments.batches)
            print(output)


if __name__ == "__main__":
    main()
