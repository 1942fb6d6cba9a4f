"""How quantizers stand in a graph that PyTorch has exported, before _onnx.py names ONNX's nodes."""

MARKS = "tandem.torch"
QUANTIZER = "Quantizer"
POWER_OF_TWO = "PowerOfTwo"


def mark(g, kind, *inputs, **attributes):
    """A node of the same type as its first input, whatever ONNX and PyTorch know of formats."""
    y = g.op(f"{MARKS}::{kind}", *inputs, **attributes)
    y.setType(inputs[0].type())
    return y
