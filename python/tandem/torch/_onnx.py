"""The quantizers as nodes of ONNX and QONNX, for torch.onnx.export."""

import torch

import tandem

# Element types of ONNX's QuantizeLinear at opset 21.
_TYPES = {"uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "e4m3": 17, "e5m2": 19, "uint4": 21,
          "int4": 22}
_ROUNDINGS = {"half_even": "ROUND", "ceiling": "CEIL", "floor": "FLOOR", "away_from_zero": "UP",
              "toward_zero": "DOWN", "half_away_from_zero": "HALF_UP",
              "half_toward_zero": "HALF_DOWN"}
QONNX = "qonnx.custom_op.general"
OPSET = 21


def has_onnx_type(name: str) -> bool:
    """Whether ONNX's own QuantizeLinear gives codes of this format."""
    return name in _TYPES


def _axis_of(scale, rank):
    """The axis along which a scale varies, None for one scale."""
    sizes = scale.type().sizes()
    if sizes is None:
        raise tandem.Error("export needs a scale of known shape")
    varying = [i for i, size in enumerate(sizes) if size != 1]
    if len(varying) > 1:
        raise tandem.Error(f"a scale of shape {list(sizes)} varies along {len(varying)} axes; "
                           "QuantizeLinear has one scale, or one for each place along one axis")
    return varying[0] + rank - len(sizes) if varying else None


def _quantize_linear(g, x, scale, zero, spec):
    kind, rank = _TYPES[spec.format], x.type().dim()
    if rank is None:
        raise tandem.Error("export needs an input of known rank")
    axis = _axis_of(scale, rank)
    shape = g.op("Constant", value_t=torch.tensor([] if axis is None else [-1], dtype=torch.int64))
    along = {} if axis is None else {"axis_i": axis}
    parameters = [g.op("Reshape", scale, shape)]
    if zero is None:
        codes = g.op("QuantizeLinear", x, *parameters, output_dtype_i=kind, **along)
    else:
        # One zero point for each scale, as ONNX has them.
        zero = g.op("Expand", zero, g.op("Shape", scale))
        parameters.append(g.op("Cast", g.op("Reshape", zero, shape), to_i=kind))
        codes = g.op("QuantizeLinear", x, *parameters, **along)
    return g.op("DequantizeLinear", codes, *parameters, **along)


def _qonnx_quant(g, x, scale, zero, spec):
    form = tandem.Format(spec.format)

    def constant(value):
        return g.op("Constant", value_t=torch.tensor(float(value)))

    return g.op(f"{QONNX}::Quant", x, scale, constant(0) if zero is None else zero,
                constant(form.bits), signed_i=int(form.minimum < 0),
                narrow_i=int(spec.overflow == "saturate_symmetric"),
                rounding_mode_s=_ROUNDINGS[spec.rounding])


def add_nodes(g, x, scale, zero, spec):
    """The quantizer as QuantizeLinear and DequantizeLinear, else as QONNX's Quant."""
    form = tandem.Format(spec.format)
    if zero is None or spec.zero_added == "after_rounding":
        usual = "saturate_symmetric" if form.is_float else "saturate"
        if form.name in _TYPES and spec.rounding == "half_even" and spec.overflow == usual:
            return _quantize_linear(g, x, scale, zero, spec)
    if zero is None or spec.zero_added == "before_rounding":
        narrow = spec.overflow == "saturate_symmetric" and form.minimum < 0
        if (form.is_integer and form.bits <= 32 and spec.rounding in _ROUNDINGS and
                (narrow or spec.overflow == "saturate")):
            return _qonnx_quant(g, x, scale, zero, spec)
    raise tandem.Error(
        f"neither ONNX nor QONNX has a quantizer to {form.name} with rounding {spec.rounding}, "
        f"overflow {spec.overflow} and zero_added {spec.zero_added}. ONNX has "
        f"{', '.join(_TYPES)} with half_even and saturation; QONNX has integers of up to 32 bits "
        f"that saturate, with rounding {', '.join(_ROUNDINGS)} and zeros added before it")
