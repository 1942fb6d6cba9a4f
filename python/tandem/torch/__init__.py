"""Tandem's quantizers in PyTorch: the bits of the C++ ones, with gradients.

    import tandem.torch as tt

    y = tt.quantize(x, scale, format="e4m3")                # to codes and back
    y = tt.fixed_point(x, 8, fraction_bits)                 # a learned binary point
    y = tt.minifloat(x, 8, mantissa, clip)                  # learned clip and mantissa

    model = tt.prepare(model, weights="int4", activations="int8")
    ...                                                     # train as ever
    tt.export_onnx(model, example, "model.onnx")            # reads as it was trained

Codes are found by the one definition of rounding that networks, kernels, C and circuits have, on
the CPU (tensors elsewhere are copied there and back). Needs PyTorch, which `import tandem` does
not; docs/pytorch.md says more.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("tandem.torch needs PyTorch: pip install torch",
                              name="torch") from None

from ._export import export_onnx
from ._functional import fixed_point, minifloat, power_of_two, quantize
from ._modules import (FixedPointQuantizer, MinifloatQuantizer, QuantizedConv2d, QuantizedLinear,
                       Quantizer, ScaleQuantizer, freeze, prepare)

__all__ = ["FixedPointQuantizer", "MinifloatQuantizer", "QuantizedConv2d", "QuantizedLinear",
           "Quantizer", "ScaleQuantizer", "export_onnx", "fixed_point", "freeze", "minifloat",
           "power_of_two", "prepare", "quantize"]
