"""Number formats over arrays: Format, quantize() and dequantize()."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import FORMATS, hard_values

import tandem


def one_pair(form, shape, overflow, parameters):
    """Quantize and Dequantize as a network, with constant scale and zero."""
    scale, zero = (np.asarray(p, "f4") for p in parameters)
    sizes = ",".join(map(str, scale.shape))

    def text(values):
        return "[" + ",".join(repr(float(v)) for v in values.reshape(-1)) + "]"

    extents = ",".join(map(str, shape))
    return tandem.load(
        f"tandem-module 1\nconstant @s : f32[{sizes}] = {text(scale)}\n"
        f"constant @z : f32[{sizes}] = {text(zero)}\n"
        f"graph @main(%x : f32[{extents}]) -> (%y) {{\n  %s = constant @s\n  %z = constant @z\n"
        f"  %q : {form}[{extents}] = Quantize(%x, %s, %z) {{format = {form}, "
        f"overflow = \"{overflow}\"}}\n"
        f"  %y : f32[{extents}] = Dequantize(%q, %s, %z)\n}}\n".encode())


@pytest.mark.parametrize("form", FORMATS)
def test_arrays_get_what_networks_compute(form):
    overflow = "saturate_symmetric" if tandem.Format(form).is_float else "saturate"
    x = hard_values(form).reshape(1000, -1)
    zero = 3.0 if tandem.Format(form).is_integer else 0.0
    for parameters in ((np.float32(0.037), np.float32(zero)),
                       (np.geomspace(0.01, 4, 1000).reshape(-1, 1), np.full((1000, 1), zero)),
                       (np.geomspace(0.01, 4, x.shape[1]), np.full(x.shape[1], zero))):
        scale, zeros = (np.asarray(p, "f4") for p in parameters)
        codes = tandem.quantize(x, scale, zeros, format=form, overflow=overflow)
        y = tandem.dequantize(codes, scale, zeros, format=form)
        network = one_pair(form, x.shape, overflow, parameters)
        expected = network.run({"x": x}, execution="reference")["y"]
        assert np.array_equal(y.view("i4"), expected.view("i4"))


@pytest.mark.parametrize("form", ["int4", "uint3", "e4m3", "e2m1", "nf4", "pow2<4>", "fixed<8,3>",
                                  "ternary", "khot<6,2>", "e8m0"])
def test_numbers_of_codes_have_these_codes(form):
    kind = tandem.Format(form)
    numbers = kind.decode(kind.codes())
    numbers = numbers[np.isfinite(numbers)]
    assert np.array_equal(kind.decode(kind.encode(numbers)), numbers)
    assert numbers.max() == kind.maximum and numbers.min() == kind.minimum


def test_format_is_a_value():
    assert tandem.Format("e4m3") == tandem.Format("e4m3") != tandem.Format("e5m2")
    assert repr(tandem.Format("fixed<8,3>")) == "Format('fixed<8,3>')"
    assert tandem.Format("int6").bits == 6 and tandem.Format("int6").dtype == np.int8
    assert len({tandem.Format("nf4"), tandem.Format("nf4")}) == 1
    assert (tandem.Format("bool").minimum, tandem.Format("bool").maximum) == (0, 1)


def test_what_cannot_be_is_an_error():
    x = np.ones(4, "f4")
    with pytest.raises(tandem.Error, match="unknown format 'int9q'; did you mean"):
        tandem.Format("int9q")
    with pytest.raises(tandem.Error, match="element 2 of its input is NaN"):
        tandem.quantize(np.array([0, 1, np.nan], "f4"), 1.0, format="int8")
    with pytest.raises(tandem.Error, match="scale contains -1; it must be positive"):
        tandem.quantize(x, -1.0, format="int8")
    with pytest.raises(tandem.Error, match="does not broadcast"):
        tandem.quantize(x, np.ones(3, "f4"), format="int8")
    with pytest.raises(tandem.Error, match="did you mean 'half_even'"):
        tandem.quantize(x, 1.0, format="int8", rounding="half_evn")
    with pytest.raises(tandem.Error, match="1000 is outside format e4m3, and overflow .wrap. has"):
        tandem.quantize(1000 * x, 1.0, format="e4m3", overflow="wrap")
    with pytest.raises(tandem.Error, match="code 16 has more than the 4 bits of nf4"):
        tandem.dequantize(np.array([16], "u1"), 1.0, format="nf4")
    with pytest.raises(tandem.Error, match="codes of nf4 are an array of dtype uint8"):
        tandem.dequantize(np.array([1], "i4"), 1.0, format="nf4")
    with pytest.raises(tandem.Error, match="f16, which is not coded"):
        tandem.dequantize(np.array([1], "f2"), 1.0, format="f16")


def test_package_does_not_need_pytorch():
    program = ("import sys\nsys.modules['torch'] = None\nimport tandem\n"
               "try:\n    import tandem.torch\nexcept ModuleNotFoundError as error:\n"
               "    print(error)\n")
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().strip() == "tandem.torch needs PyTorch: pip install torch"
    program = "import tandem, sys\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().strip() == "False"
