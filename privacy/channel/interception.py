"""Run a guard around every kind of gRPC behaviour, which grpcio's server interceptors leave to us.

A guard is a context manager over the call's context: what it does on entry happens before the
servicer's code, what it raises ends the call. It knows neither identities nor errors.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None]"
Guard: TypeAlias = Callable[[grpc.ServicerContext], AbstractContextManager[None]]


def guarded(handler: Handler, guard: Guard) -> Handler:
    """The same handler with `guard` around its behaviour, streams included."""

    def single(behaviour: Any) -> Callable[[Any, grpc.ServicerContext], Any]:
        def run(request: Any, context: grpc.ServicerContext) -> Any:
            with guard(context):
                return behaviour(request, context)

        return run

    def stream(behaviour: Any) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        def run(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with guard(context):
                yield from behaviour(request, context)

        return run

    coders = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(stream(handler.stream_stream), **coders)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(single(handler.stream_unary), **coders)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream(handler.unary_stream), **coders)
    return grpc.unary_unary_rpc_method_handler(single(handler.unary_unary), **coders)
