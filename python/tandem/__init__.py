"""Algorithm-hardware co-design of neural networks.

    import tandem

    network = tandem.load("model.onnx")
    outputs = network.run({"x": array})
    small = tandem.compress(network, data="npz:data.npz", weights="int4")
    print(tandem.estimate(small.module, device="stm32f746").total["latency_seconds"])
    tandem.fit(network, device="stm32f746", data="npz:data.npz", output="fitted")

Functions, options and defaults are those of the command line's verbs; what they raise says what was
wrong, where, and what to do about it.
"""

from ._tandem import (CheckResult, CompileResult, CompressResult, Error, Estimate, Figure,
                      FitResult, Format, InternalError, Issue, Module, OnnxProgram, Port,
                      RefusedModel, StepEstimate, __version__, advise, check, compile,
                      compress, dequantize, estimate, fit, load, lower, quantize, set_thread_count,
                      thread_count)

__all__ = ["CheckResult", "CompileResult", "CompressResult", "Error", "Estimate", "Figure",
           "FitResult", "Format", "InternalError", "Issue", "Module", "OnnxProgram", "Port",
           "RefusedModel", "StepEstimate", "__version__", "advise", "check", "compile", "compress",
           "dequantize", "estimate", "fit", "load", "lower", "quantize", "set_thread_count",
           "thread_count"]

for _name in __all__:  # shown as what they are imported as
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = "tandem"
del _name
