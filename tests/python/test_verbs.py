"""The verbs: options, defaults and results are those of the command line."""

import json

import numpy as np
import pytest
from conftest import DATA, DIGITS
from onnx import TensorProto, helper

import tandem


@pytest.fixture(scope="module")
def digits8(tmp_path_factory):
    """The digits network with 8-bit codes, as a file."""
    path = tmp_path_factory.mktemp("digits8") / "digits8.tandem"
    return path, tandem.compress(DIGITS, data=DATA, output=path)


def test_check_equals_the_verb(command_line):
    checked = tandem.check(DIGITS)
    assert checked.ok and checked.recoded and not checked.issues
    assert checked.to_dict() == command_line("check", DIGITS)
    on_device = tandem.check(DIGITS, device="artix7-35t")
    assert on_device.target == "circuit"
    assert on_device.to_dict() == command_line("check", DIGITS, "--device", "artix7-35t")


def test_check_names_nodes_that_cannot_be_read(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("NoSuchOperator", ["x"], ["y"], name="odd")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
    checked = tandem.check(helper.make_model(graph), target="cpu")
    assert not checked.ok
    assert checked.issues[0].node == "odd" and "no operator" in checked.issues[0].reason


def test_estimate_equals_the_verb(command_line):
    estimated = tandem.estimate(DIGITS, device="stm32f746", minimise="flash")
    verb = command_line("estimate", DIGITS, "--device", "stm32f746", "--minimise", "flash")
    assert estimated.to_dict() == verb
    assert estimated.fits and estimated.notes
    latency = estimated.total["latency_seconds"]
    assert float(latency) == latency.value > 0 and latency.source
    assert sum(float(step.figures["instructions"]) for step in estimated.steps) > 0


def test_compress_equals_the_verb(command_line, digits8, tmp_path):
    path, compressed = digits8
    output = tmp_path / "digits8.tandem"
    verb = command_line("compress", DIGITS, "--data", DATA, "-o", output)
    ours = compressed.to_dict()
    assert ours.pop("output") == str(path) and verb.pop("output") == str(output)
    assert ours == verb
    assert path.read_bytes() == output.read_bytes()
    assert compressed.module.text() == path.read_text()
    assert compressed.lowered_accuracy > 0.95


def test_compress_takes_the_options_of_the_verb(command_line, tmp_path):
    options = {"weights": ["int4", "head=int6"], "activations": "uint6", "method": "percentile",
               "percentile": 99.5, "granularity": "tensor", "limit": 50, "calibration": 32,
               "selection": 32, "seed": 3}
    compressed = tandem.compress(DIGITS, data=DATA, **options)
    flags = ["--weights", "int4", "--weights", "head=int6"]
    for name, value in options.items():
        if name != "weights":
            flags += [f"--{name}", value]
    verb = command_line("compress", DIGITS, "--data", DATA, *flags, "-o", tmp_path / "a.tandem")
    verb["output"] = ""
    assert compressed.to_dict() == verb


def test_compress_gives_bits_back(command_line, tmp_path):
    options = {"weights": "int3", "activations": "uint4", "max_drop": 2, "limit": 50,
               "selection": 128}
    compressed = tandem.compress(DIGITS, data=DATA, **options).to_dict()
    flags = [part for name, value in options.items()
             for part in (f"--{name.replace('_', '-')}", value)]
    verb = command_line("compress", DIGITS, "--data", DATA, *flags, "-o", tmp_path / "a.tandem")
    assert compressed["widened"] == verb["widened"] and compressed["widened"]
    quick = tandem.compress(DIGITS, data=DATA, skip_accuracy=True).to_dict()
    assert "accuracy" not in quick and quick["weight_bytes"] == 5832


def test_advise_equals_the_verb(command_line):
    advice = tandem.advise(DIGITS, data=DATA, candidates=["int8", "e4m3"])
    verb = command_line("compress", DIGITS, "--data", DATA, "--advise", "--candidate", "int8",
                        "--candidate", "e4m3")
    assert advice == verb["tensors"]
    assert all(entry["gates"] > 0 for tensor in advice for entry in tensor["formats"])


def test_lowered_integers_are_the_reference(command_line, digits8, tmp_path):
    recoded = digits8[1].module
    lowered = tandem.lower(recoded)
    (port,), (result,) = lowered.inputs, lowered.outputs
    assert port.shape[0] == 1 and port.format.startswith("uint")
    codes = np.random.default_rng(5).integers(0, 16, size=port.shape).astype(port.dtype)
    integers = lowered.run({port.name: codes})[result.name]

    (tmp_path / "lowered.tandem").write_text(lowered.text())
    np.savez(tmp_path / "codes.npz", **{port.name: codes})
    command_line("run", tmp_path / "lowered.tandem", "--execution", "reference",
                 "--input", tmp_path / "codes.npz", "--output", tmp_path / "results.npz")
    with np.load(tmp_path / "results.npz") as results:
        np.testing.assert_array_equal(integers, results[result.name + ".codes"])
        reals = integers * result.scale + result.offset
        np.testing.assert_allclose(reals, results[result.name], rtol=1e-12)
    wanted = recoded.run({recoded.inputs[0].name: (codes * port.scale + port.offset).astype("f4")})
    np.testing.assert_allclose(reals, wanted[recoded.outputs[0].name], atol=0.2)


def test_compile_equals_the_verb(command_line, digits8, tmp_path):
    path = digits8[0]
    options = {"device": "stm32f746", "samples": 20, "machine_samples": 2, "name": "net"}
    compiled = tandem.compile(path, output=tmp_path / "ours", **options)
    verb = command_line("compile", path, "-o", tmp_path / "theirs", "--device", "stm32f746",
                        "--samples", 20, "--machine-samples", 2, "--name", "net")
    ours = compiled.to_dict()
    for result in (ours, verb):  # what the clock says
        result.pop("output")
        for execution in result["verification"]["executions"]:
            execution["measured"].pop("seconds")
    assert ours == verb
    assert compiled.equal and compiled.fits and "c/net.c" in compiled.files
    for name in compiled.files:
        if name != "verification.json":
            assert (tmp_path / "ours" / name).read_bytes() == (
                tmp_path / "theirs" / name).read_bytes()


def test_fit_writes_the_folder(tmp_path):
    output = tmp_path / "fitted"
    fitted = tandem.fit(DIGITS, device="stm32f746", data=DATA, output=output, limit=20, samples=2,
                        calibration=64, selection=64, max_accuracy_drop=0.05, max_flash="64KiB")
    result = fitted.to_dict()
    assert fitted.succeeded and result["feasible"] and result["equal"]
    assert fitted.measures == result["measures"]
    lock = json.loads((output / "lock.json").read_text())
    assert lock["chosen"] == fitted.chosen
    assert {"--max-flash", "--max-accuracy-drop"} <= {limit["option"] for limit in lock["limits"]}
    assert (output / "report.html").exists()
    assert tandem.load(output / "digits.tandem").text() == fitted.lowered.text()


def test_errors_have_the_texts_of_the_verbs(tmp_path):
    for call, text in [
            (lambda: tandem.check(DIGITS, target="d"), "there is no target 'd'"),
            (lambda: tandem.check(DIGITS, target="c", device="stm32f746"),
             "tandem check takes either --target or --device"),
            (lambda: tandem.estimate(DIGITS, device="stm32f74"), "no device is called 'stm32f74'"),
            (lambda: tandem.compress(DIGITS, data="npy:x"), "data 'npy:x' is no kind and place"),
            (lambda: tandem.compress(DIGITS, data=DATA, weights="float"),
             "--weights float: unknown format"),
            (lambda: tandem.fit(DIGITS, device="stm32f746", data=DATA, output=tmp_path / "f",
                                max_flsh="1KiB"), "there is no limit --max-flsh; did you mean"),
            (lambda: tandem.compile(DIGITS, device="stm32f746", output=tmp_path / "c",
                                    samples=0), "--samples and --machine-samples"),
            (lambda: tandem.lower(DIGITS, input_coding={"image": "uint8"}),
             "input_coding of 'image' is no tuple")]:
        with pytest.raises(tandem.Error) as raised:
            call()
        assert str(raised.value).startswith(text), raised.value
    assert not list(tmp_path.iterdir())
