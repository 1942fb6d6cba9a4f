"""Networks with quantizers as ONNX files that are read with the numbers of the training."""

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Optional, Union

import torch
from torch import Tensor, nn

import tandem

from ._marks import MARKS
from ._modules import Quantizer


def _refuse_uncalibrated(model: nn.Module) -> None:
    missing = [name or "model" for name, module in model.named_modules()
               if isinstance(module, Quantizer) and not module.is_calibrated]
    if missing:
        raise tandem.Error("quantizers without a range: " + ", ".join(missing) +
                           "; run the model on data in training mode first")


def export_onnx(model: nn.Module, inputs: Union[Tensor, Sequence[Tensor]],
                path: Union[str, os.PathLike], *, input_names: Sequence[str] = ("x",),
                output_names: Sequence[str] = ("y",),
                dynamic_axes: Optional[Mapping[str, Mapping[int, str]]] = None) -> None:
    """Writes a network as ONNX; its quantizers become QuantizeLinear and DequantizeLinear, or,
    where ONNX has no such format, QONNX's Quant.

    tandem.load() reads the file as the network's forward computes in eval mode; where scales are
    powers of two (fixed point) sums are exact, so that every code is the same, else sums of f32
    may round differently. `dynamic_axes` are those of torch.onnx.export; without them the first
    axis of each input is symbolic (N). Raises Error naming what neither ONNX nor QONNX can say.
    """
    try:
        import onnx  # pylint: disable=import-outside-toplevel
    except ModuleNotFoundError:
        raise ModuleNotFoundError("export_onnx needs onnx: pip install onnx", name="onnx") from None
    from ._onnx import OPSET, with_quantizers  # pylint: disable=import-outside-toplevel
    _refuse_uncalibrated(model)
    examples = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    axes = dynamic_axes if dynamic_axes is not None else {
        name: {0: "N"} for name in (*input_names, *output_names)}
    written = io.BytesIO()
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, examples, written, input_names=list(input_names),
                              output_names=list(output_names), dynamic_axes=axes,
                              opset_version=OPSET, custom_opsets={MARKS: 1}, dynamo=False)
    finally:
        model.train(training)
    model_proto = with_quantizers(onnx.load_from_string(written.getvalue()))
    temporary = f"{os.fspath(path)}.new"
    with open(temporary, "wb") as file:
        file.write(model_proto.SerializeToString(deterministic=True))
    os.replace(temporary, path)
