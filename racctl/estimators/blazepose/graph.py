"""TFLite graphs: cut to the tensors that are asked for, which saves the operations that only others need."""

from __future__ import annotations

from typing import Any

import numpy as np

from racctl.errors import DataError

OUTPUTS = 8  # the vtable's place of a graph's outputs in TFLite's schema
OPERATORS = 10  # and of its operations
WORD = 4  # bytes


def cut_graph(model: bytes, outputs: list[int]) -> bytes:
    """Return the model with the tensors `outputs` as its outputs, without the operations that they do not need.

    outputs: numbers of tensors. Raises DataError when it is no TFLite file.
    """
    data = bytearray(model)
    graph = _graph(data)
    needed = set(outputs)
    operations = []
    for number in reversed(range(graph.OperatorsLength())):
        operation = graph.Operators(number)
        if needed.intersection(operation.OutputsAsNumpy().tolist()):
            operations.append(number)
            needed.update(operation.InputsAsNumpy().tolist())
    _keep_operations(data, graph, operations[::-1])
    _set_outputs(data, graph, outputs)
    return bytes(data)


def output_tensors(model: bytes) -> list[int]:
    """Return the numbers of the tensors that the model gives."""
    return _graph(model).OutputsAsNumpy().tolist()


def tensor_shape(model: bytes, tensor: int) -> tuple[int, ...]:
    """Return the shape of a tensor, by its number."""
    return tuple(_graph(model).Tensors(tensor).ShapeAsNumpy().tolist())


def last_sum(model: bytes, side: int) -> int:
    """Return the number of the last tensor of `side` x `side` cells that a sum gives; DataError where there is none."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    codes = _model(model)
    graph = _graph(model)
    for number in reversed(range(graph.OperatorsLength())):
        operation = graph.Operators(number)
        tensor = operation.Outputs(0)
        is_sum = codes.OperatorCodes(operation.OpcodeIndex()).BuiltinCode() == BuiltinOperator.ADD
        if is_sum and graph.Tensors(tensor).ShapeAsNumpy()[1:3].tolist() == [side, side]:
            return tensor
    raise DataError(f"the network has no sum of {side} x {side} cells; it is not BlazePose's")


def _model(data: bytes | bytearray) -> Any:
    from ai_edge_litert.schema_py_generated import Model

    return Model.GetRootAsModel(data, 0)


def _graph(data: bytes | bytearray) -> Any:
    if data[4:8] != b"TFL3":
        raise DataError("the network is not a TFLite file")
    return _model(data).Subgraphs(0)


def _keep_operations(data: bytearray, graph: Any, numbers: list[int]) -> None:
    """Shorten the list of operations in place. FlatBuffers refer to a table by its distance from the reference."""
    begin = graph._tab.Vector(graph._tab.Offset(OPERATORS))
    distances = np.frombuffer(data, np.uint32, graph.OperatorsLength(), begin)
    order = np.array(numbers, np.uint32)
    moved = distances[order] + WORD * (order - np.arange(len(order), dtype=np.uint32))
    data[begin - WORD : begin] = np.uint32(len(moved)).tobytes()
    data[begin : begin + moved.nbytes] = moved.tobytes()


def _set_outputs(data: bytearray, graph: Any, tensors: list[int]) -> None:
    """Refer to a new list of outputs at the end of the file."""
    reference = graph._tab.Pos + graph._tab.Offset(OUTPUTS)
    data.extend(bytes(-len(data) % WORD))
    data[reference : reference + WORD] = np.uint32(len(data) - reference).tobytes()
    data.extend(np.array([len(tensors), *tensors], np.uint32).tobytes())
