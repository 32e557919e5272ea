"""Run a guard or a check around every kind of gRPC behaviour, which grpcio's server interceptors leave to us.

A guard is a context manager over the call's context: what it does on entry happens before the
servicer's code, what it raises ends the call. A check is done again at each message, for as long as a
stream lasts. Neither identities nor errors are known here.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None]"
Guard: TypeAlias = Callable[[grpc.ServicerContext], AbstractContextManager[None]]
Check: TypeAlias = Callable[[grpc.ServicerContext], object]


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

    return _like(handler, single, stream)


def checked(handler: Handler, check: Check) -> Handler:
    """The same handler with `check` before its behaviour, and before each message of a stream in either direction."""

    def each(messages: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        def passed(message: Any) -> Any:
            check(context)
            return message

        return map(passed, messages)  # which holds no message while it waits for the next

    def asked(request: Any, context: grpc.ServicerContext) -> Any:
        check(context)
        return each(request, context) if handler.request_streaming else request

    def single(behaviour: Any) -> Callable[[Any, grpc.ServicerContext], Any]:
        return lambda request, context: behaviour(asked(request, context), context)

    def stream(behaviour: Any) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        def run(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with closing(behaviour(asked(request, context), context)) as answers:
                yield from each(answers, context)

        return run

    return _like(handler, single, stream)


def _like(handler: Handler, single: Callable[[Any], Any], stream: Callable[[Any], Any]) -> Handler:
    """A handler of the same kind, with `single` or `stream` of its behaviour."""
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
