"""Quantizers with learned parameters, and layers that have them."""

import copy
import fnmatch
import math
from collections.abc import Iterator, Sequence
from typing import Optional, Union

import torch
from torch import Tensor, nn
from torch.nn import functional

import tandem

from ._functional import fixed_point, minifloat, minifloat_format, quantize

# Formats whose zeros ONNX adds behind the rounding; QONNX has the others and adds them before.
_ZERO_AFTER = ("uint4", "int4", "uint8", "int8", "uint16", "int16")
_CANDIDATES = 40  # ranges that calibration compares


class _Slowed(torch.autograd.Function):
    """The value itself; its gradient times a factor, and no larger than a limit."""

    @staticmethod
    def forward(ctx, value, factor, limit):
        ctx.factor, ctx.limit = factor, limit
        return value.clone()

    @staticmethod
    def backward(ctx, *gradients):
        gradient = gradients[0] * ctx.factor
        return gradient.clamp(-ctx.limit, ctx.limit), None, None


def _slowed(value: Tensor, factor: float, limit: float = math.inf) -> Tensor:
    if not value.requires_grad or not torch.is_grad_enabled():
        return value
    return _Slowed.apply(value, factor, limit)


def _in_file(value: Optional[Tensor]) -> Optional[Tensor]:
    """While a file is written, a parameter's numbers alone, so that it has their very bits."""
    if value is None or not torch.onnx.is_in_onnx_export():
        return value
    return torch.tensor(value.detach().cpu().numpy()).to(value.device)


class Quantizer(nn.Module):
    """What quantizers share: a format, one set of parameters or one for each of `channels` places
    along `axis`, and a range that the first batch in training mode sets."""

    def __init__(self, format: str, channels: int, axis: Optional[int], rounding: str) -> None:
        super().__init__()
        if channels > 1 and axis is None:
            raise tandem.Error(f"{channels} channels need the axis along which they lie")
        self.format, self.channels = tandem.Format(format).name, channels
        self.axis = None if channels == 1 else axis
        self.rounding = rounding
        self.register_buffer("calibrated", torch.tensor(False))

    @property
    def is_calibrated(self) -> bool:
        """Whether a range was set."""
        return bool(self.calibrated)

    def extra_repr(self) -> str:
        return f"{self.format}, channels={self.channels}, axis={self.axis}"

    def calibrate(self, x: Tensor) -> None:
        """Sets the range for x."""
        with torch.no_grad():
            self._calibrate(x.detach().float())
            self.calibrated.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """x in the quantizer's numbers."""
        if self.training and not self.calibrated:
            self.calibrate(x)
        return self._quantized(x)

    def _calibrate(self, x: Tensor) -> None:
        raise NotImplementedError

    def _quantized(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _reduced(self, x: Tensor, how: str) -> Tensor:
        """amin, amax or mean for each channel: [channels]."""
        if self.axis is None:
            return getattr(x, how)().reshape(1)
        rest = [i for i in range(x.dim()) if i != self.axis % x.dim()]
        return getattr(x, how)(dim=rest) if rest else x

    def _error(self, y: Tensor, x: Tensor) -> Tensor:
        return self._reduced((y - x).square(), "mean")

    def _widest(self, x: Tensor) -> Tensor:
        """The scale with which the largest numbers just fit."""
        form = tandem.Format(self.format)
        reach = [self._reduced(x, how) / end for how, end in (("amax", form.maximum),
                                                              ("amin", form.minimum)) if end != 0]
        widest = torch.stack(reach).amax(0)
        return torch.where(widest > 0, widest, torch.ones_like(widest))


class ScaleQuantizer(Quantizer):
    """x in the numbers of a format, with a learned scale and, where asked, a learned zero point.

    Calibration takes the best of some clippings by squared error. Learned is the logarithm of the
    scale (Jain et al. 2020, TQT), so that it stays positive and one learning rate suits scales of
    any size. Gradients are those of quantize(), that of scale and zero divided by
    sqrt(elements * greatest number) as LSQ has it.
    Zero points are whole numbers in the range of codes (rounded straight through), and only integer
    formats have them.
    """

    def __init__(self, format: str = "int8", *, channels: int = 1, axis: Optional[int] = None,
                 zero: bool = False, rounding: str = "half_even",
                 overflow: Optional[str] = None) -> None:
        super().__init__(format, channels, axis, rounding)
        if zero and not tandem.Format(format).is_integer:
            raise tandem.Error(f"a zero point needs an int or uint format, not {self.format}")
        self.overflow = overflow
        self.log2_scale = nn.Parameter(torch.zeros(channels))
        self.zero = nn.Parameter(torch.zeros(channels)) if zero else None

    @property
    def scale(self) -> Tensor:
        """The scale: [channels]."""
        return torch.exp2(self.log2_scale)

    def _with(self, x: Tensor, scale: Tensor, zero: Optional[Tensor]) -> Tensor:
        after = zero is not None and self.format in _ZERO_AFTER
        added = "after_rounding" if after else "before_rounding"
        return quantize(x, scale, zero, format=self.format, rounding=self.rounding,
                        overflow=self.overflow, zero_added=added, axis=self.axis)

    def _calibrate(self, x: Tensor) -> None:
        form = tandem.Format(self.format)
        least, greatest = form.minimum, form.maximum
        widest, low = self._widest(x), None
        if self.zero is not None:
            low = self._reduced(x, "amin").clamp(max=0)
            widest = (self._reduced(x, "amax").clamp(min=0) - low) / (greatest - least)
            widest = torch.where(widest > 0, widest, torch.ones_like(widest))
        best = torch.full_like(widest, math.inf)
        for i in range(_CANDIDATES):
            scale = widest * (1 - i / _CANDIDATES)
            zero = None if low is None else (
                torch.round(least - low / scale).clamp(least, greatest))
            error = self._error(self._with(x, scale, zero), x)
            better = error < best
            best = torch.where(better, error, best)
            self.log2_scale.copy_(torch.where(better, torch.log2(scale), self.log2_scale))
            if self.zero is not None and zero is not None:
                self.zero.copy_(torch.where(better, zero, self.zero))

    def _whole_zero(self) -> Optional[Tensor]:
        if self.zero is None:
            return None
        form = tandem.Format(self.format)
        limited = self.zero.clamp(form.minimum, form.maximum)
        return limited + (torch.round(limited) - limited).detach()

    def _quantized(self, x: Tensor) -> Tensor:
        scale, zero = _in_file(self.scale), _in_file(self._whole_zero())
        greatest = max(abs(tandem.Format(self.format).maximum), 1)
        factor = 1 / math.sqrt(x.numel() / self.channels * greatest)
        return self._with(x, _slowed(scale, factor),
                          None if zero is None else _slowed(zero, factor))


class FixedPointQuantizer(Quantizer):
    """x in fixed point with learned bits behind the point (QFX): the scale is 2^-round(f).

    The first batch sets f = bits - 1 - ceil(log2 max|x|) (bits where unsigned). The gradient of f
    is divided by the variance of x and then held within one, so that steps of one learning rate
    suit tensors of any size. freeze() ends learning.
    """

    def __init__(self, bits: int = 8, *, signed: bool = True, channels: int = 1,
                 axis: Optional[int] = None, rounding: str = "half_even") -> None:
        super().__init__(f"{'' if signed else 'u'}int{bits}", channels, axis, rounding)
        self.bits, self.signed = bits, signed
        self.fraction_bits = nn.Parameter(torch.zeros(channels))

    def _calibrate(self, x: Tensor) -> None:
        largest = self._reduced(x.abs(), "amax")
        whole = self.bits - int(self.signed) - torch.ceil(torch.log2(largest))
        self.fraction_bits.copy_(torch.where(largest > 0, whole, torch.zeros_like(whole)))

    @torch.no_grad()
    def freeze(self, x: Tensor) -> None:
        """Sets f to the best of round(f) - 1, round(f), round(f) + 1 for x, by squared error, and
        learns no more."""
        x = x.detach().float()
        start = torch.round(self.fraction_bits)
        best = torch.full_like(start, math.inf)
        for step in (0, -1, 1):
            error = self._error(self._fixed(x, start + step), x)
            self.fraction_bits.copy_(torch.where(error < best, start + step, self.fraction_bits))
            best = torch.minimum(best, error)
        self.fraction_bits.requires_grad_(False)

    def _fixed(self, x: Tensor, fraction_bits: Tensor) -> Tensor:
        return fixed_point(x, self.bits, fraction_bits, signed=self.signed, rounding=self.rounding,
                           axis=self.axis)

    def _quantized(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or not self.fraction_bits.requires_grad:
            return self._fixed(x, _in_file(self.fraction_bits))
        variance = float(x.detach().float().var(unbiased=False))
        return self._fixed(x, _slowed(self.fraction_bits, 1 / max(variance, 1e-30), 1.0))


class MinifloatQuantizer(Quantizer):
    """x in floating point with a learned range and, where asked, learned bits of mantissa.

    The quantizer of minifloat(): `clip` is the largest number, learned as its logarithm.
    Calibration takes the best of some clippings by squared error, with the mantissa as it is.
    """

    def __init__(self, bits: int = 8, mantissa: int = 3, *, channels: int = 1,
                 axis: Optional[int] = None, learn_mantissa: bool = False,
                 rounding: str = "half_even") -> None:
        super().__init__(minifloat_format(bits, mantissa), channels, axis, rounding)
        self.bits = bits
        self.log2_clip = nn.Parameter(torch.zeros(channels))
        self.mantissa = nn.Parameter(torch.tensor(float(mantissa)), requires_grad=learn_mantissa)

    @property
    def clip(self) -> Tensor:
        """The largest number: [channels]."""
        return torch.exp2(self.log2_clip)

    def _calibrate(self, x: Tensor) -> None:
        widest = self._widest(x) * tandem.Format(self.format).maximum
        best = torch.full_like(widest, math.inf)
        for i in range(_CANDIDATES):
            clip = widest * (1 - i / _CANDIDATES)
            error = self._error(self._float(x, self.mantissa, clip), x)
            self.log2_clip.copy_(torch.where(error < best, torch.log2(clip), self.log2_clip))
            best = torch.minimum(best, error)

    def _float(self, x: Tensor, mantissa: Tensor, clip: Tensor) -> Tensor:
        return minifloat(x, self.bits, mantissa, clip, rounding=self.rounding, axis=self.axis)

    def _quantized(self, x: Tensor) -> Tensor:
        mantissa = self.mantissa.clamp(0, self.bits - 2)
        self.format = minifloat_format(self.bits, round(float(mantissa.detach())))
        factor = 1 / math.sqrt(x.numel() / self.channels)
        clip = _in_file(self.clip)
        return self._float(x, _slowed(mantissa, factor), _slowed(clip, factor))


# ---- Layers ----

class QuantizedLinear(nn.Linear):
    """nn.Linear over quantized input and weights (None leaves either real); the bias is real."""

    def __init__(self, *arguments, weight_quantizer: Optional[Quantizer] = None,
                 input_quantizer: Optional[Quantizer] = None, **options) -> None:
        super().__init__(*arguments, **options)
        self.weight_quantizer, self.input_quantizer = weight_quantizer, input_quantizer

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(*_operands(self, input), self.bias)


class QuantizedConv2d(nn.Conv2d):
    """nn.Conv2d over quantized input and weights (None leaves either real); the bias is real."""

    def __init__(self, *arguments, weight_quantizer: Optional[Quantizer] = None,
                 input_quantizer: Optional[Quantizer] = None, **options) -> None:
        super().__init__(*arguments, **options)
        self.weight_quantizer, self.input_quantizer = weight_quantizer, input_quantizer

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(*_operands(self, input), self.bias)


def _operands(layer: Union[QuantizedLinear, QuantizedConv2d], x: Tensor) -> tuple[Tensor, Tensor]:
    if layer.input_quantizer is not None:
        x = layer.input_quantizer(x)
    weight = layer.weight
    return x, weight if layer.weight_quantizer is None else layer.weight_quantizer(weight)


_QUANTIZED = {nn.Linear: QuantizedLinear, nn.Conv2d: QuantizedConv2d}


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in model.named_modules() if type(module) in _QUANTIZED)


def prepare(model: nn.Module, weights: Union[str, Quantizer, None] = "int8",
            activations: Union[str, Quantizer, None] = "int8", *,
            skip: Union[str, Sequence[str]] = ()) -> nn.Module:
    """Turns every Linear and Conv2d of a model, in place, into the quantized one; returns it.

    The name of a format gives weights a scale for each output channel, and inputs one scale. A
    quantizer is copied for each layer: activations=ScaleQuantizer("uint8", zero=True). None leaves
    either real. `skip` names layers by pattern ("head", "stem.*"); one that matches nothing is an
    error.
    """
    patterns = [skip] if isinstance(skip, str) else list(skip)
    layers = dict(_layers(model))
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            raise tandem.Error(f"skip: '{pattern}' matches no layer; there are " +
                               ", ".join(layers))
    for name, layer in layers.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        weight = layer.weight
        layer.__class__ = _QUANTIZED[type(layer)]
        layer.weight_quantizer = _quantizer_like(weights, weight, weight.shape[0])
        layer.input_quantizer = _quantizer_like(activations, weight, 1)
    return model


def _quantizer_like(wanted: Union[str, Quantizer, None], weight: Tensor,
                    channels: int) -> Optional[Quantizer]:
    """A quantizer of its own, on the device of a layer's weight."""
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return ScaleQuantizer(wanted, channels=channels, axis=0).to(weight.device)
    return copy.deepcopy(wanted).to(weight.device)


def freeze(model: nn.Module) -> None:
    """Learns the parameters of quantizers no more; the weights go on."""
    for module in model.modules():
        if isinstance(module, Quantizer):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
