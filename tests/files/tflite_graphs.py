"""Small TensorFlow Lite models, tensor by tensor and operator by operator."""

from typing import Any

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64
}
RELU, RELU_N1_TO_1, RELU6, TANH = 1, 2, 3, 4
SAME, VALID = 0, 1


class Graph:
    """One subgraph under construction; tensors are numbers."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = b"tandem"
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self,
               shape: list[int],
               dtype: Any,
               scale: Any = None,
               zero: Any = 0,
               axis: int = 0,
               data: np.ndarray | None = None,
               name: str = "") -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), TYPES[np.dtype(dtype)]
        tensor.name = name or f"t{len(self.graph.tensors)}"
        tensor.buffer = 0
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization.scale = [float(s) for s in scales]
            tensor.quantization.zeroPoint = [int(zero)] * scales.size
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def variable(self, shape: list[int], dtype: Any, scale: Any = None, zero: int = 0) -> int:
        index = self.tensor(shape, dtype, scale, zero)
        self.graph.tensors[index].isVariable = True
        return index

    def sparse(self, dense: np.ndarray, order: list[int], blocks: dict[int, int],
               formats: list[str], scale: Any = None) -> int:
        """A constant whose elements lie axis by axis in the given order, in blocks {axis: size};
        an axis is "dense" or lists its places with elements of 1, 2 or 4 bytes."""
        cut = list(blocks)
        shape = [n // blocks.get(d, 1) for d, n in enumerate(dense.shape)] + list(blocks.values())
        split: list[int] = []
        for d, n in enumerate(dense.shape):
            split += [n // blocks[d], blocks[d]] if d in blocks else [n]
        at = [sum(2 if e in blocks else 1 for e in range(d)) for d in range(dense.ndim)]
        blocked = dense.reshape(split).transpose(at + [at[d] + 1 for d in cut]).transpose(order)
        sparsity = schema.SparsityParametersT()
        sparsity.traversalOrder, sparsity.blockMap, sparsity.dimMetadata = order, cut, []
        groups = [blocked]
        for axis, kind in zip(order, formats):
            metadata = schema.DimensionMetadataT()
            kept = [[i for i in range(len(g)) if kind == "dense" or np.any(g[i])] for g in groups]
            if kind == "dense":
                metadata.denseSize = shape[axis]
            else:
                metadata.format = schema.DimensionType.SPARSE_CSR
                metadata.arraySegmentsType = metadata.arrayIndicesType = getattr(
                    schema.SparseIndexVector, kind)
                metadata.arraySegments = getattr(schema, kind + "T")()
                metadata.arraySegments.values = [0, *np.cumsum([len(k) for k in kept]).tolist()]
                metadata.arrayIndices = getattr(schema, kind + "T")()
                metadata.arrayIndices.values = [i for k in kept for i in k]
            sparsity.dimMetadata.append(metadata)
            groups = [g[i] for g, k in zip(groups, kept) for i in k]
        index = self.tensor(list(dense.shape), dense.dtype, scale, data=np.array(groups))
        self.graph.tensors[index].sparsity = sparsity
        return index

    def input(self, shape: list[int], dtype: Any, scale: Any = None, zero: int = 0) -> int:
        index = self.tensor(shape, dtype, scale, zero, name=f"x{len(self.graph.inputs)}")
        self.graph.inputs.append(index)
        return index

    def codes(self,
              shape: list[int],
              scale: Any,
              dtype: Any = np.int8,
              axis: int = 0,
              zero: int = 0,
              low: int | None = None) -> int:
        """Constant random codes."""
        kind = np.iinfo(dtype)
        low = kind.min + (1 if zero == 0 else 0) if low is None else low
        data = self.random.integers(low, kind.max, shape, endpoint=True)
        return self.tensor(shape, dtype, scale, zero, axis, data.astype(dtype))

    def bias(self, count: int, scale: Any, dtype: Any = np.int32, reach: int = 4000) -> int:
        data = self.random.integers(-reach, reach, [count])
        return self.tensor([count], dtype, scale, 0, 0, data.astype(dtype))

    def reals(self, shape: list[int]) -> int:
        return self.tensor(shape, np.float32, data=self.random.uniform(-1, 1, shape))

    def integers(self, values: Any, dtype: Any = np.int32) -> int:
        array = np.asarray(values, dtype)
        return self.tensor(list(array.shape), dtype, data=array)

    def op(self,
           name: str,
           inputs: list[int],
           outputs: list[int],
           options: Any = None,
           custom: str = "") -> None:
        code = schema.OperatorCodeT()
        number = getattr(schema.BuiltinOperator, name)
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = 1
        if custom:
            code.customCode = custom
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def bytes(self, outputs: list[int] | None = None) -> bytes:
        if outputs is not None:
            self.graph.outputs = outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind: str, **values: Any) -> Any:
    result = getattr(schema, kind + "T")()
    for name, value in values.items():
        if not hasattr(result, name):
            raise AttributeError(f"{kind} has no {name}")
        setattr(result, name, value)
    return result


def conv_options(kind: str,
                 padding: int = SAME,
                 stride: int = 1,
                 dilation: int = 1,
                 activation: int = 0,
                 **more: Any) -> Any:
    values = {
        "padding": padding,
        "strideW": stride,
        "strideH": stride,
        "fusedActivationFunction": activation,
        **more
    }
    if kind != "TransposeConvOptions":
        values |= {"dilationWFactor": dilation, "dilationHFactor": dilation}
    return options(kind, **values)
