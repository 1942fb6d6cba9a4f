"""tandem.torch: the bits of the C++ quantizers, gradients of the documented surrogates, networks
that are read as they were trained."""

import copy
import inspect
import math

import numpy as np
import pytest
from conftest import FORMATS, REPO, hard_values

import tandem

torch = pytest.importorskip("torch", reason="PyTorch is absent: tools/setup.sh networks")

from torch import nn  # noqa: E402

import tandem.torch as tt  # noqa: E402


# ---- Bits ----

@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_numbers_are_those_of_the_format(form, axis):
    """Against Format.encode and decode, element by element, in NumPy's f32."""
    kind = tandem.Format(form)
    overflow = "saturate_symmetric" if kind.is_float else "saturate"
    x = hard_values(form).reshape(1000, -1)
    count = 1 if axis is None else x.shape[axis]
    scale = np.geomspace(0.25, 3, count).astype("f4")
    zero = np.full(count, 2 if kind.is_integer else 0, "f4")
    shape = [-1 if i == axis else 1 for i in range(2)] if axis is not None else [1]
    s, z = scale.reshape(shape), zero.reshape(shape)
    with np.errstate(over="ignore"):
        numbers = kind.decode(kind.encode(x / s + z, overflow=overflow))
    expected = (numbers - z).astype("f4") * s
    y = tt.quantize(torch.from_numpy(x), torch.from_numpy(scale), torch.from_numpy(zero),
                    format=form, axis=axis)
    assert np.array_equal(y.numpy().view("i4"), expected.view("i4"))


@pytest.mark.parametrize("bits,fraction,signed", [(8, 3, True), (4, 6, True), (6, -2, True),
                                                  (12, 20, True), (3, 2, False), (1, 0, True)])
def test_fixed_point_is_the_format_of_that_name(bits, fraction, signed):
    name = f"{'' if signed else 'u'}fixed<{bits},{fraction}>"
    kind, x = tandem.Format(name), hard_values(name)
    with np.errstate(over="ignore"):  # where x * 2^f is an f32
        scaled = np.ldexp(x, fraction)
    x = x[np.isfinite(scaled) & (np.ldexp(scaled, -fraction) == x)]
    for rounding in ("half_even", "floor", "half_up", "toward_zero"):
        for overflow in ("saturate", "wrap", "saturate_zero", "saturate_symmetric"):
            expected = kind.decode(kind.encode(x, rounding=rounding, overflow=overflow))
            y = tt.fixed_point(torch.from_numpy(x), bits, torch.tensor(fraction + 0.3),
                               signed=signed, rounding=rounding, overflow=overflow)
            assert np.array_equal(y.numpy(), expected.astype("f4"))


@pytest.mark.parametrize("bits,mantissa", [(8, 2), (8, 3), (8, 4), (6, 2), (4, 1), (5, 0)])
def test_minifloat_is_the_published_quantizer(bits, mantissa):
    """Kuzmin et al. 2022, in f64: equal but where x lies on a tie to within rounding of f32."""
    x, clip = hard_values("e4m3", 200_000), 1.37
    bias = 2.0 ** (bits - 1 - mantissa) - math.log2(clip) + math.log2(2 - 2.0 ** -mantissa) - 1
    clipped = np.clip(x.astype("f8"), -clip, clip)
    with np.errstate(divide="ignore"):
        exponent = np.maximum(np.floor(np.log2(np.abs(clipped)) + bias), 1)
    step = 2.0 ** (exponent - mantissa - bias)
    expected = np.rint(clipped / step) * step
    y = tt.minifloat(torch.from_numpy(x), bits, mantissa, clip).numpy()
    same = np.isclose(y, expected, rtol=1e-5, atol=1e-30)
    tie = np.abs(np.abs(clipped / step % 1) - 0.5) < 1e-4
    assert (same | tie).all() and same.mean() > 0.8
    assert np.abs(y).max() == np.float32(clip)


# ---- Gradients ----

def gradients_of(y, *parameters):
    torch.manual_seed(3)
    weights = torch.randn(y.shape)
    return weights.double().numpy(), [g.double().numpy() for g in torch.autograd.grad(
        (y * weights).sum(), parameters)]


def difference(function, at, index, width=1e-6):
    """The slope of sum(function) along one element of a parameter, in f64."""
    there = []
    for sign in (1, -1):
        moved = np.array(at, "f8")
        moved[index] += sign * width
        there.append(function(moved).sum())
    return (there[0] - there[1]) / (2 * width)


@pytest.mark.parametrize("form,overflow", [("int8", None), ("uint4", None), ("int4", "wrap"),
                                           ("int3", "saturate_zero"),
                                           ("int4", "saturate_symmetric"), ("fixed<6,2>", None),
                                           ("e4m3", None), ("e2m1", None), ("nf4", None),
                                           ("pow2<4>", None), ("ternary", None),
                                           ("bipolar", None)])
@pytest.mark.parametrize("axis", [None, 1])
def test_gradients_are_those_of_the_surrogate(form, overflow, axis):
    torch.manual_seed(1)
    kind = tandem.Format(form)
    x = (torch.randn(40, 5) * kind.maximum / 2).requires_grad_()
    scale = torch.tensor([0.9] if axis is None else [0.5, 0.7, 0.9, 1.1, 1.3], requires_grad=True)
    zero = torch.full_like(scale, 0.25, requires_grad=True)
    y = tt.quantize(x, scale, zero, format=form, overflow=overflow, axis=axis)
    weights, found = gradients_of(y, x, scale, zero)

    # The surrogate, with what is held constant taken at this point.
    x0, s0, z0 = (p.detach().double().numpy() for p in (x, scale, zero))
    v0, code = x0 / s0 + z0, y.detach().double().numpy() / s0 + z0
    least, greatest = kind.minimum, kind.maximum
    if overflow == "saturate_symmetric" and kind.is_uniform:
        least += 1
    inside = (v0 >= least) & (v0 <= greatest) | (overflow == "wrap")
    assert inside.any() and (overflow == "wrap" or not inside.all())

    def surrogate(a, s, z):
        v = a / s + z
        return weights * s * (np.where(inside, v + (code - v0), code) - z)

    for i, (point, gradient) in enumerate(zip((x0, s0, z0), found)):
        def alone(moved, i=i):
            return surrogate(*(moved if i == j else p for j, p in enumerate((x0, s0, z0))))
        for index in list(np.ndindex(point.shape))[:60]:
            slope = difference(alone, point, index)
            assert gradient[index] == pytest.approx(slope, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("bits,fraction,axis", [(8, 5.2, None), (3, 0.6, None), (4, -1.0, 1)])
def test_gradient_of_fraction_bits(bits, fraction, axis):
    torch.manual_seed(2)
    x = (4 * torch.randn(50, 3)).requires_grad_()
    f = torch.full((1 if axis is None else 3,), fraction, requires_grad=True)
    y = tt.fixed_point(x, bits, f, axis=axis)
    weights, (to_x, to_f) = gradients_of(y, x, f)
    values, there = x.detach().double().numpy(), y.detach().double().numpy()
    step = 2.0 ** -round(fraction)
    inside = (values >= -2 ** (bits - 1) * step) & (values <= (2 ** (bits - 1) - 1) * step)
    assert np.allclose(to_x, weights * inside)
    slope = weights * np.where(inside, math.log(2) * (values - there), -math.log(2) * there)
    assert np.allclose(to_f, slope.sum(None if axis is None else 0), rtol=1e-4)

    def surrogate(moved):  # the exponent moves, errors and saturated codes in steps stay
        steps = 2.0 ** -moved
        return weights * np.where(inside, values + (there - values) / step * steps,
                                  there / step * steps)

    for index in range(len(f)):
        assert to_f[index] == pytest.approx(
            difference(surrogate, np.full(len(f), float(round(fraction))), index), rel=1e-3)


@pytest.mark.parametrize("bits,mantissa", [(8, 3), (8, 2), (6, 2), (4, 1)])
def test_gradients_of_clip_and_mantissa(bits, mantissa):
    torch.manual_seed(4)
    x = torch.randn(400, requires_grad=True)
    m = torch.tensor(float(mantissa), requires_grad=True)
    clip = torch.tensor([1.3], requires_grad=True)
    y = tt.minifloat(x, bits, m, clip)
    weights, (to_x, to_m, to_clip) = gradients_of(y, x, m, clip)
    values, there = x.detach().double().numpy(), y.detach().double().numpy()
    c0 = float(clip.detach())
    inside = np.abs(values) <= c0

    def bias(m, c):
        return 2.0 ** (bits - 1 - m) - np.log2(c) + np.log2(2 - 2.0 ** -m) - 1

    with np.errstate(divide="ignore"):
        exponent = np.maximum(np.floor(np.log2(np.abs(values)) + bias(mantissa, c0)), 1)
    error = (there - values) / 2.0 ** (exponent - mantissa - bias(mantissa, c0))

    def surrogate(m, c):
        return weights * np.where(inside, values + error * 2.0 ** (exponent - m - bias(m, c)),
                                  c * np.sign(values))

    assert np.allclose(to_x, weights * inside)
    clip_slope = difference(lambda moved: surrogate(mantissa, moved[0]), [c0], 0)
    assert to_clip[0] == pytest.approx(clip_slope, rel=1e-3)
    mantissa_slope = difference(lambda moved: surrogate(moved[0], c0), [mantissa], 0)
    assert to_m == pytest.approx(mantissa_slope, rel=1e-3)


# ---- What is learned ----

@pytest.mark.parametrize("bits", [3, 4, 6, 8])
@pytest.mark.parametrize("draw", [torch.randn, lambda n: torch.distributions.Laplace(
    0.0, 1.0).sample((n,))], ids=["gauss", "laplace"])
def test_binary_point_is_found(bits, draw):
    """From three bits too many or too few to within one of the best, by squared error."""
    torch.manual_seed(bits)
    x = 0.3 * draw(20_000)
    errors = {f: float((tt.fixed_point(x, bits, float(f)) - x).square().mean())
              for f in range(-4, 14)}
    best = min(errors, key=errors.get)
    for start in (best - 3, best, best + 3):
        quantizer = tt.FixedPointQuantizer(bits)
        quantizer.calibrate(x)
        with torch.no_grad():
            quantizer.fraction_bits.fill_(start)
        optimizer = torch.optim.Adam(quantizer.parameters(), 0.1)
        for _ in range(80):
            optimizer.zero_grad()
            (quantizer(x) - x).square().mean().backward()
            optimizer.step()
        assert abs(round(float(quantizer.fraction_bits.detach())) - best) <= 1
        quantizer.freeze(x)
        assert quantizer.fraction_bits.item() == best
        assert not quantizer.fraction_bits.requires_grad


@pytest.mark.parametrize("quantizer", [
    tt.ScaleQuantizer("int4"), tt.ScaleQuantizer("uint4", zero=True), tt.ScaleQuantizer("nf4"),
    tt.ScaleQuantizer("int4", channels=3, axis=1), tt.FixedPointQuantizer(4),
    tt.MinifloatQuantizer(6, 2), tt.MinifloatQuantizer(6, 2, channels=3, axis=1),
    tt.MinifloatQuantizer(8, 2, learn_mantissa=True)],
    ids=lambda q: type(q).__name__ + q.format)
def test_quantizers_learn_from_where_calibration_left_them(quantizer):
    torch.manual_seed(6)
    x = torch.randn(500, 3) * torch.tensor([0.1, 1.0, 10.0]) + 0.2

    def error():
        return (quantizer(x) - x).square().mean()

    quantizer.train()
    first = error().item()
    assert first < x.square().mean()
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        error().backward()
        optimizer.step()
    # Squared error is not smooth in the range of floats, whose steps move in and out of place.
    assert error().item() < (1.25 if "Mini" in type(quantizer).__name__ else 1.05) * first
    # What was learned is kept.
    kept = {key: value.clone() for key, value in quantizer.state_dict().items()}
    after = quantizer(x)
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter.add_(1)
    quantizer.load_state_dict(kept)
    assert torch.equal(quantizer(x), after)


def test_halves_and_whole_numbers_are_computed_in_f32():
    x = torch.tensor([0.1, 0.26, -3], dtype=torch.bfloat16, requires_grad=True)
    y = tt.quantize(x, 0.25, format="int4")
    assert y.dtype == torch.float32 and y.tolist() == [0, 0.25, -2]
    y.sum().backward()
    assert x.grad.dtype == torch.bfloat16 and x.grad.tolist() == [1, 1, 0]


# ---- Networks ----

def trained(model, x, recipe, steps=8):
    torch.manual_seed(9)
    target = torch.randint(5, (len(x),))
    weights, activations, last = recipe
    tt.prepare(model, weights=weights, activations=activations)
    model.append(copy.deepcopy(last))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return model.eval()


def perceptron():
    torch.manual_seed(8)
    return nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(),
                         nn.Linear(48, 5)), torch.randn(512, 20)


def convolutions():
    torch.manual_seed(8)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Flatten(),
                         nn.Linear(32, 5)), torch.randn(256, 3, 8, 8)


# Weights, activations, and the quantizer of the output.
RECIPES = {
    "int8": ("int8", "int8", tt.ScaleQuantizer("int8")),
    "uint8 zeros": ("int8", *[tt.ScaleQuantizer("uint8", zero=True)] * 2),
    "int4 weights": ("int4", "int8", tt.ScaleQuantizer("int8")),
    "int6 zeros": ("int3", *[tt.ScaleQuantizer("int6", zero=True)] * 2),
    "ternary": ("ternary", "int8", tt.ScaleQuantizer("int8")),
    "e4m3": ("e4m3", "e4m3", tt.ScaleQuantizer("e4m3")),
    "fixed": (tt.FixedPointQuantizer(4), *[tt.FixedPointQuantizer(8)] * 2),
    "narrow fixed": (tt.FixedPointQuantizer(3), *[tt.FixedPointQuantizer(6)] * 2),
}


@pytest.mark.parametrize("recipe,make", [
    *((recipe, perceptron) for recipe in RECIPES),
    *((recipe, convolutions) for recipe in ("uint8 zeros", "int4 weights", "fixed"))])
def test_trained_network_is_read_with_its_codes(recipe, make, tmp_path):
    model, x = make()
    trained(model, x, RECIPES[recipe])
    path = tmp_path / "trained.onnx"
    tt.export_onnx(model, x[:1], path)
    assert [file.name for file in tmp_path.iterdir()] == ["trained.onnx"]
    expected = model(x).detach().numpy()
    network = tandem.load(path)
    for execution in ("reference", "auto"):
        y = network.run({"x": x.numpy()}, execution=execution)["y"]
        assert (y != expected).sum() == 0, execution
    assert len(np.unique(expected)) > 10


@pytest.mark.parametrize("make", [perceptron, convolutions])
def test_lowered_fixed_point_has_the_codes_of_the_training(make, tmp_path):
    """Sums of fixed-point products are exact, so that not even rounding of f32 may differ. Biases
    are whole steps of the sums here, as what is lowered has them."""
    model, x = make()
    trained(model, x, RECIPES["fixed"])
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (tt.QuantizedLinear, tt.QuantizedConv2d)):
                bits = sum(torch.round(q.fraction_bits) for q in (layer.weight_quantizer,
                                                                  layer.input_quantizer))
                layer.bias.copy_(torch.round(layer.bias * 2 ** bits) / 2 ** bits)
    path = tmp_path / "trained.onnx"
    tt.export_onnx(model, x[:1], path)
    step = 2.0 ** -float(torch.round(model[0].input_quantizer.fraction_bits.detach()))
    codes = np.clip(np.rint(x.numpy() / step), -128, 127)
    expected = model(torch.from_numpy((codes * step).astype("f4"))).detach().numpy()
    lowered = tandem.lower(path, input_coding={"x": ("int8", step)})
    scale = lowered.outputs[0].scale
    for i in range(100):
        integers = lowered.run({"x": codes[i:i + 1].astype("i1")})["y"]
        assert np.array_equal(integers * scale, expected[i:i + 1])


def test_file_is_onnx(tmp_path):
    import onnx  # pylint: disable=import-outside-toplevel
    model, x = perceptron()
    trained(model, x, RECIPES["int4 weights"])
    tt.export_onnx(model, x[:1], tmp_path / "m.onnx", input_names=["in"], output_names=["out"])
    read = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(read, full_check=True)
    assert [entry.domain for entry in read.opset_import] == [""]
    weights = [t for t in read.graph.initializer
               if t.data_type == onnx.TensorProto.INT4 and len(t.dims) > 1]
    assert [list(t.dims) for t in weights] == [[48, 20], [48, 48], [5, 48]]
    assert not any(t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1
                   for t in read.graph.initializer)


def test_files_run_in_onnxruntime(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    model, x = perceptron()
    trained(model, x, RECIPES["uint8 zeros"])
    tt.export_onnx(model, x[:1], tmp_path / "m.onnx")
    options = runtime.SessionOptions()
    # Without VNNI its default saturates sums of pairs of products.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = runtime.InferenceSession(tmp_path / "m.onnx", options,
                                       providers=["CPUExecutionProvider"])
    y, = session.run(None, {"x": x.numpy()})
    expected = model(x).detach().numpy()
    step = float(model[-1].scale.detach())
    assert np.abs(y - expected).max() < 1.5 * step and (y != expected).mean() < 0.05


# ---- Documentation ----

def test_page_says_what_runs(tmp_path, monkeypatch):
    page = (REPO / "docs/pytorch.md").read_text()
    program = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(11)
    exec(compile(program, "docs/pytorch.md", "exec"), {})  # pylint: disable=exec-used
    assert (tmp_path / "model.onnx").exists()



def test_everything_is_documented_and_typed():
    for name in tt.__all__:
        thing = getattr(tt, name)
        assert thing.__doc__, name
        signature = inspect.signature(thing.__init__ if isinstance(thing, type) else thing)
        assert signature.return_annotation is not inspect.Signature.empty, name


# ---- Refusals ----

def test_what_no_file_can_say_is_an_error(tmp_path):
    model, x = perceptron()
    tt.prepare(model, weights="nf4", activations=None)
    path = tmp_path / "m.onnx"
    with pytest.raises(tandem.Error, match=r"without a range: 0\.weight_quantizer, 2"):
        tt.export_onnx(model, x, path)
    model(x)
    with pytest.raises(tandem.Error, match="neither ONNX nor QONNX has a quantizer to nf4"):
        tt.export_onnx(model, x, path)
    assert not list(tmp_path.iterdir()) and model.training

    class Dynamic(nn.Module):
        def forward(self, x):
            return tt.quantize(x, x.abs().amax(), format="int8")

    with pytest.raises(tandem.Error, match="scale depends on the network's input"):
        tt.export_onnx(Dynamic(), x, path)


def test_misuse_is_an_error():
    x = torch.ones(2, 3)
    with pytest.raises(tandem.Error, match="did you mean 'int4'"):
        tt.quantize(x, 1.0, format="int4x")
    with pytest.raises(tandem.Error, match=r"shape \[2\] does not fit axis 1 of \[2, 3\]"):
        tt.quantize(x, torch.ones(2), format="int8", axis=1)
    with pytest.raises(tandem.Error, match="axis 2 does not lie in a tensor of 2 axes"):
        tt.quantize(x, torch.ones(2), format="int8", axis=2)
    with pytest.raises(tandem.Error, match="7 bits of mantissa do not fit 8 bits"):
        tt.minifloat(x, 8, 7, 1.0)
    with pytest.raises(tandem.Error, match="a zero point needs an int or uint format, not nf4"):
        tt.ScaleQuantizer("nf4", zero=True)
    with pytest.raises(tandem.Error, match="3 channels need the axis"):
        tt.ScaleQuantizer("int8", channels=3)
    model, _ = perceptron()
    with pytest.raises(tandem.Error, match="'head' matches no layer; there are 0, 2, 4"):
        tt.prepare(model, skip="head")
    assert type(model[0]) is nn.Linear
    tt.prepare(model, skip=["0", "4"])
    assert [type(model[i]).__name__ for i in (0, 2, 4)] == ["Linear", "QuantizedLinear", "Linear"]
