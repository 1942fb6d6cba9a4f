"""Graphs whose shapes depend on the values of inputs; onnxruntime computes what they give."""

from collections.abc import Callable

import numpy as np
from golden_graphs import Graph, model_of, stored
from golden_operators import i64, noise, run
from onnx import TensorProto


def arrays() -> dict[str, np.ndarray]:
    result: dict[str, np.ndarray] = {}

    def case(name: str, build: Callable[[Graph], str], **inputs: np.ndarray) -> None:
        graph = Graph()
        graph.outputs = [build(graph)]
        shapes = {key: [f"{key}{axis}" for axis in range(array.ndim)]
                  for key, array in inputs.items()}
        model = model_of(graph, inputs, 17, shapes)
        fed = dict(zip([i.name for i in model.graph.input], inputs.values(), strict=True))
        result.update(stored(name, model, fed, run(model, fed)))

    x = noise(2, 3, 4)
    for name, shape in (("reshape", i64(4, -1)), ("reshape_other", i64(2, 12))):
        case(name, lambda g: g.add("Reshape", ["x", "shape"]), x=x, shape=shape)
    case("slice", lambda g: g.add("Slice", ["x", "starts", "ends", "axes"]), x=x,
         starts=i64(1), ends=i64(-1), axes=i64(2))

    def doubled(g: Graph) -> str:
        """A shape computed from two inputs."""
        shape = g.add("Concat", [g.add("Mul", ["rows", g.const(i64(2), np.int64)]),
                                 g.const(i64(-1), np.int64)], axis=0)
        return g.add("Reshape", [g.add("Add", ["x", "x"]), shape])

    case("computed", doubled, x=x, rows=i64(3))
    case("empty", lambda g: g.add("Slice", ["x", "starts", "ends"]), x=x, starts=i64(2),
         ends=i64(1))

    def picked(g: Graph) -> str:
        """Positions that are not zero, of which there are as many as the data say."""
        return g.add("Cast", [g.add("NonZero", [g.add("Relu", ["x"])])], to=TensorProto.FLOAT)

    case("non_zero", picked, x=noise(3, 4))
    return result
