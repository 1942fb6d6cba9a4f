"""Writes golden/weights: small files of weights, and the reals behind them as a .npz each.

GGUF is written by PyPI's gguf, whose dequantize() is the oracle of its blocks; safetensors by
PyPI's safetensors; codes of 4 bits by bitsandbytes on the CPU, with its dequantize_4bit() as the
oracle. They are also the seeds of the fuzzer of weights. Run by hand when cases change, in an
environment that has them: pip install gguf safetensors bitsandbytes torch ml_dtypes.
"""

import pathlib

import bitsandbytes.functional as bnb
import gguf
import ml_dtypes
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).resolve().parent / "golden" / "weights"
SEEDS = FOLDER.parents[2] / "fuzz" / "corpus" / "weights"
RANDOM = np.random.default_rng(11)


def store(name: str, reals: dict[str, np.ndarray]) -> None:
    np.savez_compressed(FOLDER / f"{name}.npz", **reals)


def scales(block: np.ndarray, *offsets: int) -> None:
    """Halves of moderate size in the place of random bits."""
    for offset in offsets:
        half = RANDOM.uniform(0.01, 2, block.shape[0]).astype(np.float16)
        block[:, offset:offset + 2] = half.view(np.uint8).reshape(-1, 2)


def write_gguf() -> None:
    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(FOLDER / "blocks.gguf", "llama")
    writer.add_name("blocks")
    writer.add_uint32("llama.block_count", 2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    writer.add_float32("llama.rope.freq_base", 10000.0)
    reals = {}
    for dtype in (np.float32, np.float16, np.int8, np.int32):
        name = f"plain.{np.dtype(dtype).name}"
        data = RANDOM.normal(0, 5, (3, 8)).astype(dtype)
        writer.add_tensor(name, data)
        reals[name] = data.astype(np.float32)
    for kind in (kinds.Q4_0, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q8_0, kinds.BF16):
        data = quantize(RANDOM.normal(0, 1, (3, 64)).astype(np.float32), kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        reals[kind.name] = dequantize(data, kind)
    for kind, size, halves in ((kinds.Q4_K, 144, (0, 2)), (kinds.Q5_K, 176, (0, 2)),
                               (kinds.Q6_K, 210, (208,)), (kinds.MXFP4, 17, ())):
        blocks = RANDOM.integers(0, 256, (4, size)).astype(np.uint8)
        scales(blocks, *halves)
        if kind == kinds.MXFP4:
            blocks[:, 0] = RANDOM.integers(120, 132, 4)
        data = blocks.reshape(2, 2 * size)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        reals[kind.name] = dequantize(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    store("blocks.gguf", reals)


def write_safetensors() -> None:
    tensors = {"plain.f32": torch.randn(2, 3), "plain.f16": torch.randn(5).half(),
               "plain.bf16": torch.randn(2, 2).bfloat16(), "plain.f64": torch.randn(3).double(),
               "plain.i64": torch.arange(4), "plain.u8": torch.arange(4).to(torch.uint8),
               "plain.bool": torch.tensor([True, False]), "scalar": torch.tensor(2.5),
               "empty": torch.zeros(0, 3), "e4m3": torch.randn(3, 4).to(torch.float8_e4m3fn),
               "e5m2": torch.randn(3, 4).to(torch.float8_e5m2)}
    reals = {name: tensor.to(torch.float32).numpy() for name, tensor in tensors.items()}
    save_file(tensors, FOLDER / "plain.safetensors", metadata={"format": "pt"})
    store("plain.safetensors", reals)


def write_bitsandbytes() -> None:
    tensors, reals = {}, {}
    for kind in ("nf4", "fp4"):
        for nested in (False, True):
            name = f"layer.{kind}{'.nested' if nested else ''}.weight"
            weights = torch.randn(48, 64) * torch.linspace(0.1, 2, 48)[:, None]
            packed, state = bnb.quantize_4bit(weights, blocksize=64, quant_type=kind,
                                              compress_statistics=nested)
            tensors[name] = packed
            for key, value in state.as_dict(packed=True).items():
                tensors[f"{name}.{key}"] = value
            reals[name] = bnb.dequantize_4bit(packed, state).to(torch.float32).numpy()
    tensors["layer.bias"] = torch.randn(48)
    reals["layer.bias"] = tensors["layer.bias"].numpy()
    save_file(tensors, FOLDER / "bitsandbytes.safetensors")
    store("bitsandbytes.safetensors", reals)


def main() -> None:
    assert ml_dtypes is not None  # bf16 of gguf
    torch.manual_seed(3)
    FOLDER.mkdir(parents=True, exist_ok=True)
    SEEDS.mkdir(parents=True, exist_ok=True)
    write_gguf()
    write_safetensors()
    write_bitsandbytes()
    for path in sorted(FOLDER.iterdir()):
        if path.suffix != ".npz":
            (SEEDS / path.name).write_bytes(path.read_bytes())
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
