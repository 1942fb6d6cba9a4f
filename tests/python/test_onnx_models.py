"""Whole ONNX models beside onnxruntime: the light real architectures of PyPI's onnx, and models of
scikit-learn through skl2onnx where that is installed (tools/setup.sh bench)."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import tandem

onnxruntime = pytest.importorskip("onnxruntime")

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def expected(model, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_agrees(model, inputs, tolerance):
    outputs = tandem.OnnxProgram(model).run(inputs)
    for name, want in expected(model, inputs).items():
        got = outputs[name]
        assert got.dtype == want.dtype and got.shape == want.shape
        if want.dtype.kind in "iu":
            assert np.array_equal(got, want)
        else:
            assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


def test_nine_light_models_are_there():
    assert len(list(LIGHT.glob("*.onnx"))) == 9


@pytest.mark.parametrize("path", sorted(LIGHT.glob("*.onnx")), ids=lambda path: path.stem)
def test_light_models(path):
    model = onnx.load(path)
    given = {tensor.name for tensor in model.graph.initializer}
    random = np.random.default_rng(1)
    inputs = {}
    for value in model.graph.input:
        if value.name not in given:
            shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            inputs[value.name] = random.random(shape, np.float32)
    assert_agrees(model, inputs, 1e-4)


def models():
    """Name, fitted model, features, and whether onnxruntime takes its conversion to doubles."""
    pytest.importorskip("skl2onnx")
    from sklearn import ensemble, linear_model, tree  # noqa: PLC0415

    random = np.random.default_rng(0)
    x = random.normal(size=(200, 6))
    three = (x[:, 0] + x[:, 1] ** 2 > 0.3).astype(int) + (x[:, 2] > 0.5)
    two, real = (three > 0).astype(int), x[:, 0] * x[:, 1]
    few = {"n_estimators": 10, "random_state": 0}
    yield "forest", ensemble.RandomForestClassifier(max_depth=6, **few).fit(x, three), x, True
    yield "forest_two", ensemble.RandomForestClassifier(max_depth=6, **few).fit(x, two), x, True
    yield "forest_reals", ensemble.RandomForestRegressor(**few).fit(x, real), x, False
    yield "boosted", ensemble.GradientBoostingClassifier(**few).fit(x, two), x, False
    yield "boosted_three", ensemble.GradientBoostingClassifier(**few).fit(x, three), x, False
    yield "tree", tree.DecisionTreeClassifier(random_state=0).fit(x, three), x, False
    yield "logistic", linear_model.LogisticRegression().fit(x, three), x, False
    yield "logistic_two", linear_model.LogisticRegression().fit(x, two), x, False


def test_models_of_scikit_learn():
    for name, model, x, may_be_double in models():
        from skl2onnx import to_onnx  # noqa: PLC0415

        for dtype in [np.float32] + [np.float64] * may_be_double:
            features = x.astype(dtype)
            options = {"zipmap": False} if hasattr(model, "classes_") else {}
            proto = to_onnx(model, features[:1], options={id(model): options})
            try:
                assert_agrees(proto, {"X": features}, 1e-5)
            except (AssertionError, tandem.Error) as error:
                raise AssertionError(f"{name}, {dtype.__name__}: {error}") from error
