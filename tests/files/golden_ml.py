"""Operators of the domain ai.onnx.ml; onnxruntime computes what they give."""

from typing import Any

import numpy as np
from golden_graphs import Graph, model_of, stored
from golden_operators import noise, run
from onnx import numpy_helper

CASES: dict[str, tuple[Any, dict[str, np.ndarray]]] = {}

# Two trees over three features: the first has two splits, the second one; five leaves.
NODES: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 0, 0, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
    "nodes_featureids": [0, 0, 2, 0, 0, 1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_GT", "LEAF", "LEAF", "BRANCH_LT", "LEAF",
                    "LEAF"],
    "nodes_truenodeids": [1, 0, 3, 0, 0, 1, 0, 0],
    "nodes_falsenodeids": [2, 0, 4, 0, 0, 2, 0, 0],
    "nodes_missing_value_tracks_true": [0, 0, 1, 0, 0, 0, 0, 0]}
SPLITS = [0.25, 0, -0.5, 0, 0, 0.125, 0, 0]
LEAVES = ([0, 0, 0, 1, 1], [1, 3, 4, 1, 2])  # trees and nodes


def case(name: str, op: str, x: np.ndarray, outputs: int = 1, **attributes: Any) -> None:
    graph = Graph()
    first = graph.add(op, ["x"], outputs, domain="ai.onnx.ml", **attributes)
    graph.outputs = [first] + [f"{first}_{i}" for i in range(1, outputs)]
    model = model_of(graph, {"x": x}, 17, {"x": ["N", x.shape[1]]}, {"ai.onnx.ml": 3})
    for output in model.graph.output:
        output.ClearField("type")
    CASES[name] = (model, {"x": x})


def tensor(name: str, values: list[float]) -> Any:
    return numpy_helper.from_array(np.array(values, np.float64), name)


def regressor(name: str, x: np.ndarray, targets: list[int], weights: list[float],
              **attributes: Any) -> None:
    leaves = len(weights) // len(LEAVES[0])
    trees, nodes = (np.repeat(values, leaves).tolist() for values in LEAVES)
    case(name, "TreeEnsembleRegressor", x, target_treeids=trees, target_nodeids=nodes,
         target_ids=targets, target_weights=weights, nodes_values=SPLITS,
         n_targets=max(targets) + 1, **NODES, **attributes)


def classifier(name: str, x: np.ndarray, classes: list[int], weights: list[float],
               labels: list[int], double: bool = False, **attributes: Any) -> None:
    leaves = len(weights) // len(LEAVES[0])
    trees, nodes = (np.repeat(values, leaves).tolist() for values in LEAVES)
    numbers = {"nodes_values": SPLITS, "class_weights": weights}
    if double:
        numbers = {f"{key}_as_tensor": tensor(key, values) for key, values in numbers.items()}
    case(name, "TreeEnsembleClassifier", x, 2, class_treeids=trees, class_nodeids=nodes,
         class_ids=classes, classlabels_int64s=labels, **numbers, **NODES, **attributes)


def arrays() -> dict[str, np.ndarray]:
    x = noise(12, 3)
    with_nan = x.copy()
    with_nan[::3, 2] = np.nan
    weights = [1.5, -2, 0.25, 3, -0.75]
    regressor("trees", x, [0] * 5, weights)
    regressor("trees_nan", with_nan, [0] * 5, weights, base_values=[0.5])
    regressor("trees_targets", x, [0, 1] * 5, [*weights, *weights[::-1]], base_values=[0.5, -1])
    for aggregate in ["AVERAGE", "MIN", "MAX"]:
        regressor(f"trees_{aggregate}", x, [0] * 5, weights, aggregate_function=aggregate)
    case("trees_double", "TreeEnsembleRegressor", x.astype(np.float64), n_targets=1,
         target_treeids=LEAVES[0], target_nodeids=LEAVES[1], target_ids=[0] * 5,
         target_weights_as_tensor=tensor("w", weights),
         nodes_values_as_tensor=tensor("v", SPLITS), **NODES)
    shares = [0.2, 0.3, 0.5, 0.1, 0.9, 0, 0.6, 0.2, 0.2, 0.05, 0.05, 0.9, 0.3, 0.4, 0.3]
    classifier("forest", x, [0, 1, 2] * 5, shares, [7, 3, 5])
    classifier("forest_double", x.astype(np.float64), [0, 1, 2] * 5, shares, [0, 1, 2],
               double=True)
    classifier("forest_softmax", x, [0, 1, 2] * 5, shares, [0, 1, 2], post_transform="SOFTMAX",
               base_values=[0.5, 0, -0.25])
    classifier("forest_two", x, [0] * 5, [0.1, 0.3, 0.5, 0.2, 0.4], [5, 2])
    classifier("boosted", x, [0] * 5, weights, [0, 1], post_transform="LOGISTIC",
               base_values=[0.125])
    classifier("boosted_bare", x, [0] * 5, weights, [4, 9])
    coefficients = noise(9, seed=4).tolist()
    case("linear", "LinearClassifier", x, 2, coefficients=coefficients, intercepts=[0.5, -1, 0.25],
         classlabels_ints=[3, 1, 2], post_transform="SOFTMAX")
    case("linear_logistic", "LinearClassifier", x, 2, coefficients=coefficients,
         intercepts=[0.5, -1, 0.25], classlabels_ints=[0, 1, 2], post_transform="LOGISTIC",
         multi_class=1)
    case("linear_two", "LinearClassifier", x, 2, coefficients=coefficients[:3], intercepts=[0.5],
         classlabels_ints=[0, 1], post_transform="LOGISTIC")
    result: dict[str, np.ndarray] = {}
    for name, (model, inputs) in CASES.items():
        result.update(stored(name, model, inputs, run(model, inputs)))
    return result
