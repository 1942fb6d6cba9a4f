"""Graphs inside nodes; onnxruntime computes what they give."""

import numpy as np
import onnx.parser
from golden_graphs import stored
from golden_operators import f32, noise, run

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'

CASES: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    # Both branches read values around the node, one of them an input.
    "if_captures": ("""
g (bool c, float[N, 3] x) => (float[N, 3] y) {
  w = Constant <value = float[3] {1.5, -2, 0.25}> ()
  h = Mul (x, w)
  y = If (c) <
    then_branch = one () => (float[N, 3] t) { s = Sigmoid (h)  t = Add (s, x) },
    else_branch = two () => (float[N, 3] e) { e = Neg (h) }>
}""", {"c": np.array(True), "x": noise(2, 3)}),
    # A branch that is nothing but a value around it.
    "if_passes": ("""
g (bool c, float[2, 3] x) => (float[2, 3] y) {
  h = Relu (x)
  y = If (c) <then_branch = one () => (float[2, 3] t) { t = Identity (h) },
              else_branch = two () => (float[2, 3] e) { e = Exp (x) }>
}""", {"c": np.array(True), "x": noise(2, 3)}),
    # The rank decides; the branch not taken would be refused.
    "if_constant": ("""
g (float[N, 1, 3] x) => (float[] y) {
  s = Shape (x)
  i = Constant <value = int64 {1}> ()
  d = Gather (s, i)
  c = Equal (d, i)
  y = If (c) <
    then_branch = one () => (float[N, 3] t) {
      a = Constant <value = int64[1] {1}> ()
      t = Squeeze (x, a)
    },
    else_branch = two () => (float[N, 1, 3] e) {
      b = Loop ("", "", x) <body = l (int64 k, bool m, float[N, 1, 3] p) => (bool n, float[] q) {
        n = Identity (m)  q = Concat <axis = 0> (p, p)
      }>
      e = Identity (b)
    }>
}""", {"x": noise(2, 1, 3)}),
    "if_nested": ("""
g (bool c, bool d, float[2, 3] x) => (float[2, 3] y) {
  k = Constant <value = float {0.5}> ()
  y = If (c) <
    then_branch = one () => (float[2, 3] t) {
      u = Mul (x, k)
      t = If (d) <then_branch = in1 () => (float[2, 3] v) { v = Add (u, x) },
                  else_branch = in2 () => (float[2, 3] w) { w = Sub (u, k) }>
    },
    else_branch = two () => (float[2, 3] e) { e = Abs (x) }>
}""", {"c": np.array(True), "d": np.array(False), "x": noise(2, 3)}),
    # Few steps: the carried value grows.
    "loop_grows": ("""
g (float[1, 3] x) => (float[] y) {
  n = Constant <value = int64 {3}> ()
  y = Loop (n, "", x) <body = b (int64 i, bool m, float[K, 3] p) => (bool o, float[L, 3] q) {
    o = Identity (m)
    f = Cast <to = 1> (i)
    r = Add (x, f)
    q = Concat <axis = 0> (p, r)
  }>
}""", {"x": noise(1, 3)}),
    # Many steps stay a loop, with stacked outputs.
    "loop_long": ("""
g (float[2] x, float[2] w) => (float[2] y, float[3000, 2] z) {
  n = Constant <value = int64 {3000}> ()
  c = Constant <value_int = 1> ()
  t = Cast <to = 9> (c)
  y, z = Loop (n, t, x) <
    body = b (int64 i, bool m, float[2] p) => (bool o, float[2] q, float[2] r) {
    o = Identity (m)
    a = Mul (p, w)
    q = Tanh (a)
    r = Sub (q, p)
  }>
}""", {"x": f32(1, -1), "w": f32(0.9, 1.5)}),
    # Data decide how often: until the sum is beyond ten.
    "loop_while": ("""
g (float[2] x) => (float[2] y, int64 k) {
  ten = Constant <value = float {10}> ()
  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  y, k = Loop ("", "", x, zero) <
    body = b (int64 i, bool m, float[2] p, int64 c) => (bool o, float[2] q, int64 d) {
      q = Mul (p, p)
      s = ReduceSum <keepdims = 0> (q)
      o = Less (s, ten)
      d = Add (c, one)
    }>
}""", {"x": f32(1.1, 1.2)}),
    "loop_of_counted_trips": ("""
g (int64 n, bool c, float[2] x) => (float[2] y) {
  y = Loop (n, c, x) <body = b (int64 i, bool m, float[2] p) => (bool o, float[2] q) {
    o = Identity (m)
    f = Cast <to = 1> (i)
    q = Add (p, f)
  }>
}""", {"n": np.array(5), "c": np.array(True), "x": f32(1, 2)}),
    "loop_inside_if": ("""
g (bool c, float[2] x) => (float[2] y) {
  y = If (c) <
    then_branch = one () => (float[2] t) {
      n = Constant <value = int64 {2}> ()
      t = Loop (n, "", x) <body = b (int64 i, bool m, float[2] p) => (bool o, float[2] q) {
        o = Identity (m)  q = Add (p, x)
      }>
    },
    else_branch = two () => (float[2] e) { e = Neg (x) }>
}""", {"c": np.array(True), "x": f32(1, 2)}),
    # Steps of a symbolic sequence, a captured weight, and axes that are not the first.
    "scan_axes": ("""
g (float[3] s, float[B, T, 3] x) => (float[3] y, float[3, B, T] z) {
  w = Constant <value = float[3] {0.5, 1, -1}> ()
  k = Constant <value = int64[1] {0}> ()
  y, z = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1],
               scan_output_axes = [-1],
               body = b (float[3] p, float[B, 3] r) => (float[3] q, float[3, B] o) {
    m = ReduceSum <keepdims = 0> (r, k)
    a = Mul (p, w)
    q = Add (a, m)
    t = Mul (r, q)
    o = Transpose <perm = [1, 0]> (t)
  }> (s, x)
}""", {"s": f32(1, 2, 3), "x": noise(2, 5, 3)}),
    "scan_two": ("""
g (float[2] s, float[4, 2] x, float[4, 1] v) => (float[2] y, float[4, 2] z, float[4, 2] u) {
  y, z, u = Scan <num_scan_inputs = 2, scan_output_directions = [1, 0],
               body = b (float[2] p, float[2] r, float[1] t)
                 => (float[2] q, float[2] o, float[2] n) {
    a = Mul (p, t)
    q = Add (a, r)
    o = Identity (q)
    n = Neg (p)
  }> (s, x, v)
}""", {"s": f32(1, 2), "x": noise(4, 2), "v": noise(4, 1)}),
}


def arrays() -> dict[str, np.ndarray]:
    result: dict[str, np.ndarray] = {}
    for name, (text, inputs) in CASES.items():
        model = onnx.parser.parse_model(HEAD + text.strip())
        result.update(stored(name, model, inputs, run(model, inputs)))
        if name.startswith("if_") and "c" in inputs:
            other = inputs | {"c": np.array(not inputs["c"])}
            result.update(stored(f"{name}_other", model, other, run(model, other)))
    return result
