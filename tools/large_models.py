#!/usr/bin/env python3
"""Reads models of a million nodes of many forms: each ends soon, within a limit of memory.

    tools/large_models.py [--tandem build/release/tandem] [--nodes 1000000] [FORM...]

A form is correct and `tandem show` reads it, or wrong and ends with exit code 2 and a message;
what is more, `tandem check --target cpu` answers on some correct ones. A signal, another exit code,
more than --seconds or more than --memory bytes of address space is a failure, and the exit code 1.
Prints one line for each form: seconds, peak of memory, what was said.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FLOAT, INT64 = 1, 7


# ---- ONNX's wire format, since a million objects of Python take minutes ----

def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    """A field of length-delimited bytes."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def whole(number, value):
    """A field of an integer."""
    return varint(number << 3) + varint(value)


def text(number, value):
    return field(number, value.encode())


def node(op, inputs, outputs, name="", attributes=b"", domain=""):
    payload = b"".join(text(1, i) for i in inputs) + b"".join(text(2, o) for o in outputs)
    payload += (text(3, name) if name else b"") + text(4, op) + attributes
    return field(1, payload + (text(7, domain) if domain else b""))


def integer_attribute(name, value):
    return field(5, text(1, name) + whole(3, value) + whole(20, 2))


def tensor(name, dims=(), data=b"\0\0\x80\x3f", kind=FLOAT):
    return b"".join(whole(1, d) for d in dims) + whole(2, kind) + text(8, name) + field(9, data)


def initializer(*arguments, **more):
    return field(5, tensor(*arguments, **more))


def value(place, name, dims=(2,), kind=FLOAT):
    """An input (11), output (12) or value_info (13); a dimension is a number or a name."""
    shape = b"".join(field(1, text(2, d) if isinstance(d, str) else whole(1, d)) for d in dims)
    return field(place, text(1, name) + field(2, field(1, whole(1, kind) + field(2, shape))))


def model(parts):
    graph = b"".join(parts)
    return whole(1, 8) + field(7, text(2, "g") + graph) + field(8, text(1, "") + whole(2, 17))


def chain(count, link, extra=(), last=None):
    """`count` nodes behind each other; link(i, from, to) is one, with all that belongs to it."""
    parts = [value(11, "v0"), *extra]
    parts += [link(i, f"v{i}", f"v{i + 1}") for i in range(count)]
    return model([*parts, value(12, last or f"v{count}")])


# ---- The forms: name -> (bytes, whether it is correct) ----

def relus(n):
    return chain(n, lambda i, a, b: node("Relu", [a], [b], f"/block{i % 50}/relu{i}")), True


def unnamed(n):
    return chain(n, lambda i, a, b: node("Neg", [a], [b])), True


def backwards(n):
    links = [node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in reversed(range(n))]
    return model([value(11, "v0"), *links, value(12, f"v{n}")]), True


def initializers(n):
    return chain(n // 2, lambda i, a, b: initializer(f"w{i}") +
                 node("Add", [a, f"w{i}"], [b])), True


def constant_nodes(n):
    held = lambda i: field(5, text(1, "value") + field(5, tensor("c")) + whole(20, 4))
    return chain(n // 2, lambda i, a, b: node("Constant", [], [f"c{i}"], attributes=held(i)) +
                 node("Mul", [a, f"c{i}"], [b])), True


def folded(n):
    """Arithmetic on constants, each result of which is a constant of its own."""
    return chain(n // 2, lambda i, a, b: node("Exp", ["one"], [f"e{i}"]) +
                 node("Add", [a, f"e{i}"], [b]), [initializer("one")]), True


def masks(n):
    """Results of training that nobody reads."""
    return chain(n, lambda i, a, b: node("Dropout", [a], [b, f"mask{i}"])), True


def shapes(n):
    """Arithmetic on shapes."""
    def link(i, a, b):
        return (node("Shape", [a], [f"s{i}"]) + node("Gather", [f"s{i}", "zero"], [f"g{i}"]) +
                node("Reshape", [a, f"g{i}"], [b]))
    zero = initializer("zero", (1,), bytes(8), INT64)
    body = [link(i, f"v{i}", f"v{i + 1}") for i in range(n // 3)]
    return model([value(11, "v0", ("N",)), zero, *body, value(12, f"v{n // 3}", ("N",))]), True


def wide(n):
    parts = [node("Relu", ["x"], [f"y{i}"]) for i in range(n)]
    names = [f"y{i}" for i in range(n)]
    return model([value(11, "x"), *parts, node("Sum", names, ["z"]), value(12, "z")]), True


def outputs(n):
    parts = [node("Relu", ["x"], [f"y{i}"]) + value(12, f"y{i}") for i in range(n)]
    return model([value(11, "x"), *parts]), True


def inputs(n):
    parts = [value(11, f"x{i}") + node("Relu", [f"x{i}"], [f"y{i}"]) + value(12, f"y{i}")
             for i in range(n)]
    return model(parts), True


def symbols(n):
    """Every input with a size of its own."""
    parts = [value(11, f"x{i}", (f"N{i}",)) + node("Relu", [f"x{i}"], [f"y{i}"]) +
             value(12, f"y{i}", (f"N{i}",)) for i in range(n)]
    return model(parts), False


def selections(n):
    """Sizes that data decide, the same of all."""
    parts = [node("NonZero", ["x"], [f"y{i}"]) + value(12, f"y{i}", (1, f"n{i}"), INT64)
             for i in range(n)]
    return model([value(11, "x"), *parts]), True


def unknown(n):
    return chain(n, lambda i, a, b: node("Sparkle", [a], [b])), False


def unknown_domains(n):
    return chain(n, lambda i, a, b: node("Glow", [a], [b], domain="com.example")), False


def opaque(n):
    """Operators that are not known, with declared results: they are carried along."""
    return chain(n, lambda i, a, b: node("Sparkle", [a], [b], domain="com.example") +
                 value(13, b)), True


def refused(n):
    return chain(n, lambda i, a, b: node("LeakyRelu", [a], [b],
                                         attributes=integer_attribute("slope", 1))), False


def undecided(n):
    """Shapes that data decide, each of what came before."""
    def link(i, a, b):
        return node("Cast", [a], [f"c{i}"], attributes=integer_attribute("to", INT64)) + node(
            "Reshape", [a, f"c{i}"], [b])
    return chain(n // 2, link), False


def cycle(n):
    parts = [node("Relu", [f"v{i}"], [f"v{(i + 1) % n}"]) for i in range(n)]
    return model([*parts, value(12, "v0")]), False


def undefined(n):
    return chain(n, lambda i, a, b: node("Add", [a, f"w{i}"], [b])), False


def same_results(n):
    return chain(n, lambda i, a, b: node("Relu", [a], ["v1"]), last="v1"), False


def same_names(n):
    return chain(n, lambda i, a, b: node("Relu", [a], [b], "relu")), True


FORMS = [relus, unnamed, backwards, initializers, constant_nodes, folded, masks, shapes, wide,
         outputs, inputs, symbols, selections, unknown, unknown_domains, opaque, refused, undecided,
         cycle, undefined, same_results, same_names]
CHECKED = {relus, initializers}


def ended(options, arguments):
    """Exit code, seconds, peak bytes and what was said by the program."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (options.memory, options.memory))

    before = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [options.tandem, *arguments], stdout=subprocess.DEVNULL, stderr=said, preexec_fn=limit)
        timer = threading.Timer(options.seconds, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)  # of this process alone, other than Popen's
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return (process.returncode, time.perf_counter() - before, usage.ru_maxrss * 1024,
                said.read(400))


def judged(options, form, folder):
    data, is_correct = form(options.nodes)
    path = Path(folder) / f"{form.__name__}.onnx"
    path.write_bytes(data)
    del data
    calls = [["show", str(path)]]
    if form in CHECKED:
        calls.append(["check", str(path), "--target", "cpu"])
    fine = True
    for call in calls:
        code, seconds, peak, said = ended(options, call)
        good = code == 0 if is_correct else code == 2 and said != ""
        fine = fine and good
        print(f"{form.__name__:16} {call[0]:6} {'ok' if good else 'FAILED':7} exit code {code} "
              f"{seconds:6.1f} s {peak / 1e6:6.0f} MB  {' '.join(said.split())[:100]}", flush=True)
    path.unlink()
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forms", nargs="*", metavar="FORM")
    parser.add_argument("--tandem", default="build/release/tandem")
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=600, help="for each [%(default)s]")
    parser.add_argument("--memory", type=int, default=12 << 30, help="bytes [%(default)s]")
    options = parser.parse_args()
    known = {form.__name__: form for form in FORMS}
    for name in options.forms:
        if name not in known:
            raise SystemExit(f"no form {name}; there are {', '.join(known)}")
    forms = [known[name] for name in options.forms] or FORMS
    with tempfile.TemporaryDirectory() as folder:
        results = [judged(options, form, folder) for form in forms]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
