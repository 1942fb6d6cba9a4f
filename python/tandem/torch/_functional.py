"""The quantizers as functions with gradients."""

import math
from typing import NamedTuple, Optional, Union

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

import tandem

from ._marks import POWER_OF_TWO, QUANTIZER, mark

Number = Union[Tensor, float]


class Spec(NamedTuple):
    """What quantize() is told beside tensors."""

    format: str
    rounding: str
    overflow: str
    zero_added: str


def usual_overflow(form: tandem.Format) -> str:
    """Beyond the codes lies the last one; of floats this is called so."""
    return "saturate_symmetric" if form.is_float else "saturate"


def ends(form: tandem.Format, overflow: str) -> tuple[float, float]:
    """The least and the greatest number that a format gives under an overflow."""
    least, greatest = form.minimum, form.maximum
    if overflow == "saturate_symmetric" and form.is_uniform:
        least = float(form.decode(form.encode([2 * least - 1.0], overflow=overflow))[0])
    return least, greatest


def _array(tensor: Tensor) -> np.ndarray:
    """Shares the memory of a contiguous f32 tensor on the CPU."""
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy()


def _summed_to(gradient: Tensor, like: Tensor) -> Tensor:
    return gradient.sum_to_size(like.shape).to(like.dtype) if like.dim() else gradient.sum().to(
        like.dtype)


class _Quantize(torch.autograd.Function):
    """Codes and back; scale and zero broadcast to x."""

    @staticmethod
    def forward(ctx, x, scale, zero, spec):
        values, factor, offset = _array(x), _array(scale), None if zero is None else _array(zero)
        codes = tandem.quantize(values, factor, offset, **spec._asdict())
        y = torch.from_numpy(tandem.dequantize(codes, factor, offset, format=spec.format))
        ctx.save_for_backward(x, y.to(x.device), scale, zero)
        ctx.spec = spec
        return y.to(x.device)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        gradient, = gradients
        x, y, scale, zero = ctx.saved_tensors
        x, factor = x.float(), scale.float()
        coded = x / factor if zero is None else x / factor + zero.float()
        if ctx.spec.overflow == "wrap":
            inside = torch.ones_like(coded, dtype=torch.bool)
        else:
            least, greatest = ends(tandem.Format(ctx.spec.format), ctx.spec.overflow)
            inside = (coded >= least) & (coded <= greatest)
        to_x = to_scale = to_zero = None
        if ctx.needs_input_grad[0]:
            to_x = gradient * inside
        if ctx.needs_input_grad[1]:
            # Code less exact code in range; code less zero point outside.
            slope = torch.where(inside, y - x, y) / factor
            to_scale = _summed_to(gradient * slope, scale)
        if zero is not None and ctx.needs_input_grad[2]:
            to_zero = _summed_to(gradient * torch.where(inside, 0.0, -factor), zero)
        return to_x, to_scale, to_zero, None

    @staticmethod
    def symbolic(g, x, scale, zero, spec):
        inputs = [x, scale] if zero is None else [x, scale, zero]
        return mark(g, QUANTIZER, *inputs, **{f"{k}_s": v for k, v in spec._asdict().items()})


def _along(parameter: Tensor, x: Tensor, axis: Optional[int]) -> Tensor:
    """A parameter [C] in the shape in which it broadcasts along an axis of x."""
    if axis is None or parameter.dim() == 0:
        return parameter
    if not -x.dim() <= axis < x.dim():
        raise tandem.Error(f"axis {axis} does not lie in a tensor of {x.dim()} axes")
    if parameter.dim() != 1 or parameter.shape[0] not in (1, x.shape[axis]):
        raise tandem.Error(f"a parameter of shape {list(parameter.shape)} does not fit axis {axis} "
                           f"of {list(x.shape)}: give one value, or {x.shape[axis]}")
    shape = [1] * x.dim()
    shape[axis] = -1
    return parameter.reshape(shape)


def _tensor(value: Number, x: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.float32, device=x.device)


def quantize(x: Tensor, scale: Number, zero: Optional[Number] = None, *, format: str,
             rounding: str = "half_even", overflow: Optional[str] = None,
             zero_added: str = "before_rounding", axis: Optional[int] = None) -> Tensor:
    """x in the numbers of a format: dequantize(quantize(x)), in f32, of x's shape.

    scale and zero broadcast to x, or lie along `axis` where they have one dimension. Arguments are
    those of tandem.quantize(); overflow None is the last code on either side ("saturate", of float
    formats "saturate_symmetric").

    Gradients are those of a surrogate. With v = x / scale + zero, code c, and [least, greatest] the
    numbers of the format, at a point where v lies in that range

        y(x, scale, zero) = scale * (v + e - zero),  e = c - v held constant:
        dy/dx = 1,  dy/dscale = c - v = (y - x) / scale,  dy/dzero = 0

    and, where it does not,

        y(x, scale, zero) = scale * (c - zero),  c held constant:
        dy/dx = 0,  dy/dscale = c - zero = y / scale,  dy/dzero = -scale

    which for integers are the gradients of learned steps (Esser et al. 2020, LSQ; Bhalgat et al.
    2020, LSQ+). Under overflow "wrap" every v counts as in range.
    """
    form = tandem.Format(format)
    spec = Spec(form.name, rounding, overflow or usual_overflow(form), zero_added)
    scale = _along(_tensor(scale, x), x, axis)
    zero = None if zero is None else _along(_tensor(zero, x), x, axis)
    return _Quantize.apply(x, scale, zero, spec)


# ---- A learned binary point ----

class _PowerOfTwo(torch.autograd.Function):
    """2^-round(f), exactly."""

    @staticmethod
    def forward(ctx, fraction_bits):
        whole = np.rint(_array(fraction_bits)).astype(int)
        step = torch.from_numpy(np.asarray(np.ldexp(np.float32(1), -whole)))
        step = step.to(fraction_bits.device)
        ctx.save_for_backward(step)
        return step

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        step, = ctx.saved_tensors
        return gradients[0] * step * -math.log(2)

    @staticmethod
    def symbolic(g, fraction_bits):
        return mark(g, POWER_OF_TWO, fraction_bits)


def power_of_two(fraction_bits: Tensor) -> Tensor:
    """The step 2^-round(f), exact; its gradient is -ln 2 * step, as if nothing were rounded."""
    return _PowerOfTwo.apply(fraction_bits)


def fixed_point(x: Tensor, bits: int, fraction_bits: Number, *, signed: bool = True,
                rounding: str = "half_even", overflow: str = "saturate",
                axis: Optional[int] = None) -> Tensor:
    """x in fixed point of so many bits with round(fraction_bits) of them behind the point.

    The numbers are those of the format fixed<bits,f> (ufixed where not signed), wherever x * 2^f is
    itself an f32. With y the result,
    the gradient for x is 1 in range and 0 where it saturates; that for the fraction bits f is

        ln 2 * (x - y) in range,  -ln 2 * y where it saturates

    (the surrogate of quantize() with scale = 2^-f; the method of QFX, Luo et al. 2024). f may be
    negative, may exceed the bits, and may be one for each place along `axis`.
    """
    form = tandem.Format(f"{'' if signed else 'u'}int{bits}").name
    step = power_of_two(_tensor(fraction_bits, x))
    return quantize(x, step, format=form, rounding=rounding, overflow=overflow, axis=axis)


# ---- A learned range and mantissa ----

class _Mantissa(torch.autograd.Function):
    """y, with a gradient for the bits of mantissa that it was rounded to."""

    @staticmethod
    def forward(ctx, y, x, mantissa, clip, bits):
        ctx.save_for_backward(y, x, mantissa, clip)
        ctx.bits = bits
        return y.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        gradient, = gradients
        y, x, mantissa, clip = ctx.saved_tensors
        whole = float(torch.round(mantissa))
        tail = 2.0 ** -whole
        bias_slope = -math.log(2) * 2.0 ** (ctx.bits - 1 - whole) + tail / (2 - tail)
        slope = -math.log(2) * (1 + bias_slope)
        error = torch.where(x.abs() <= clip, y - x, 0.0)
        return gradient, None, _summed_to(gradient * slope * error, mantissa), None, None


def minifloat_format(bits: int, mantissa: int) -> str:
    """The format of so many bits with a sign and so much mantissa, all codes finite."""
    if not 0 <= mantissa <= bits - 2:
        raise tandem.Error(f"{mantissa} bits of mantissa do not fit {bits} bits: one is the sign "
                           f"and at least one the exponent's, so give 0 to {bits - 2}")
    return tandem.Format(f"e{bits - 1 - mantissa}m{mantissa}finite").name


def minifloat(x: Tensor, bits: int, mantissa: Number, clip: Number, *,
              rounding: str = "half_even", axis: Optional[int] = None) -> Tensor:
    """x in floating point of so many bits whose largest number is `clip`, all codes finite.

    The differentiable quantizer of Kuzmin et al. 2022 ("FP8 quantization: the power of the
    exponent"): round(mantissa) = M bits of mantissa, E = bits - 1 - M of exponent, and a real bias
    B = 2^E - log2 clip + log2(2 - 2^-M) - 1. It is quantize() to the format e<E>m<M>finite with
    scale = clip / its greatest number. With y the result, where |x| <= clip, the surrogate is

        y = x + e * 2^(p - M - B),  e and the exponent p of the number held constant:
        dy/dx = 1,  dy/dclip = (y - x) / clip,
        dy/dM = -ln 2 * (y - x) * (1 + dB/dM),  dB/dM = -ln 2 * 2^E + 2^-M / (2 - 2^-M)

    and beyond, y = clip * sign(x): dy/dx = 0, dy/dclip = sign(x), dy/dM = 0.
    """
    mantissa, clip = _tensor(mantissa, x), _along(_tensor(clip, x), x, axis)
    form = minifloat_format(bits, round(float(mantissa.detach())))
    y = quantize(x, clip / tandem.Format(form).maximum, format=form, rounding=rounding)
    if mantissa.requires_grad and torch.is_grad_enabled():
        y = _Mantissa.apply(y, x.detach(), mantissa, clip.detach(), bits)
    return y
