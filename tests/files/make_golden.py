"""Writes the files in golden/: small ONNX graphs with inputs and outputs, and NumPy arrays.

operators.npz  graphs of ONNX's operators over several operator sets; outputs by onnxruntime
layers.npz     graphs of its layers beyond the most common; outputs by onnxruntime
contrib.npz    nodes of ONNX Runtime's own domain; outputs by onnxruntime
control.npz    graphs with If, Loop and Scan; outputs by onnxruntime
ml.npz         trees and linear models of ai.onnx.ml; outputs by onnxruntime
fed.npz        graphs whose shapes depend on inputs; outputs by onnxruntime
qonnx.npz      graphs of QONNX's nodes; outputs by the executor of PyPI's qonnx
refused.npz    models that the reader must refuse, each with a part of the message
arrays.npz, compressed.npz   arrays as NumPy writes them

Some of the models are written to tests/fuzz/corpus/onnx, too.

All but the last two hold one compressed array, the bytes of an uncompressed .npz archive (a quarter
of the size of an archive compressed array by array). Each case is a group of arrays there:
<case>/model holds the bytes of a model, <case>/in/<name> and <case>/out/<name> its tensors,
<case>/error the expected message. Run by hand when cases change:
.venv/bin/python tests/files/make_golden.py
"""

import warnings

import golden_contrib
import golden_control
import golden_fed
import golden_layers
import golden_ml
import golden_operators
import golden_qonnx
import golden_refused
import numpy as np
from golden_archive import FOLDER, write_archive


def write_arrays() -> None:
    """Counts 0..5 as [2,3] in every type, byte order and array order that the reader takes."""
    arrays: dict[str, np.ndarray] = {}
    for code in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]:
        single_byte = code in ("i1", "u1", "b1")
        for order in ["|"] if single_byte else ["<", ">"]:
            values = np.arange(6).reshape(2, 3)
            values = (values % 2 if code == "b1" else values).astype(order + code)
            mark = {"<": "little", ">": "big", "|": "byte"}[order]
            arrays[f"count_{code}_{mark}"] = values
    for code in ["f4", "i1", "u8", "b1"]:
        values = np.arange(6).reshape(2, 3)
        values = (values % 2 if code == "b1" else values).astype(code)
        arrays[f"count_{code}_fortran"] = np.asfortranarray(values)
        arrays[f"count_{code}_strided"] = np.repeat(values, 2, axis=0)[::2]
    arrays["scalar"] = np.array(2.5)
    arrays["empty"] = np.zeros((0, 4), np.float32)
    cube = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    arrays["cube"] = cube
    arrays["cube_fortran"] = np.asfortranarray(cube)
    np.savez(FOLDER / "arrays.npz", **arrays)
    np.savez_compressed(FOLDER / "compressed.npz", zeros=np.zeros(10000), ones=np.ones(10, np.int8))


# Cases whose models are seeds of the ONNX fuzzer: all kinds of nodes, inputs and initializers.
SEEDS = {
    "operators": ["Clip_13", "Softmax_0_11", "Where_17", "Cast_13", "Conv_SAME_UPPER_17",
                  "Conv_1d_7", "MaxPool_ceil_12", "AveragePool_counted_12", "Gemm_c_7",
                  "BatchNormalization_15", "Reshape_17", "Slice_13", "Slice_9", "Pad_axes_18",
                  "Gather_17", "Expand_17", "Split_18", "TopK_11", "ReduceSum_13",
                  "DepthToSpace_13", "flatten_by_shape", "split_heads", "expand_like",
                  "shape_parts", "constants", "index_range", "selected", "GridSample_20",
                  "Resize_crop_13", "names", "qdq_axis_zero_13", "qdq_layer",
                  "qdq_uint4_21", "int4_weights"],
    "layers": ["ConvTranspose_pads_11", "MaxPool_indices_12", "LSTM_both_full_14",
               "GRU_functions_14", "Einsum_heads_12", "QLinearConv_10", "functions"],
    "contrib": ["FusedConv_sum", "FusedMatMul_batches", "SkipLayerNormalization",
                "EmbedLayerNormalization", "Attention_past", "MultiHeadAttention_mask",
                "GroupQueryAttention_past", "QLinearAdd", "QLinearConcat", "QGemm",
                "DynamicQuantizeMatMul_bias", "MatMulNBits_zeros"],
    "control": ["if_captures", "if_constant", "if_nested", "loop_grows", "loop_long", "loop_while",
                "loop_inside_if", "scan_axes", "scan_two"],
    "ml": ["trees_nan", "forest_double", "boosted", "linear_two"],
    "fed": ["reshape", "non_zero"],
    "qonnx": ["quant_4_1_1", "per_channel_zero", "bipolar_0", "trunc1_pool", "trunc2_zero",
              "layers", "annotated_bipolar"],
    "refused": ["cycle", "three_memory", "external", "filled", "nan_of_constants",
                "if_captures_itself", "branches_differ", "loop_stacks_unknown", "body_refused"]}


def write_seeds(name: str, arrays: dict[str, np.ndarray]) -> None:
    folder = FOLDER.parents[1] / "fuzz" / "corpus" / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    for case in SEEDS[name]:
        (folder / f"{case}.onnx").write_bytes(arrays[f"{case}/model"].tobytes())


def main() -> None:
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    write_arrays()
    for module in (golden_operators, golden_layers, golden_contrib, golden_control,
                   golden_ml, golden_fed, golden_qonnx,
                   golden_refused):
        arrays = module.arrays()
        name = module.__name__.removeprefix("golden_")
        write_seeds(name, arrays)
        write_archive(name, arrays)


if __name__ == "__main__":
    main()
