"""Algorithm-hardware co-design of neural networks.

    import tandem

    network = tandem.load("model.onnx")
    outputs = network.run({"x": array})
"""

from ._tandem import Error, InternalError, Module, Port, RefusedModel, __version__, load

__all__ = ["Error", "InternalError", "Module", "Port", "RefusedModel", "__version__", "load"]
