"""The Patchbay plugin protocol, version 1, for Python 3.9 and gRPC 1.51 or newer. sdk/PROTOCOL.md specifies it.

    plugin = patchbay.Plugin("weather", "1.0.0", "Weather of the world")

    @plugin.block(id="a UUID", name="Forecast", input={"city": {"type": "string"}}, required=["city"],
                  output={"forecast": {"type": "string"}})
    def forecast(run, input):
        run.emit("forecast", "sunny in " + input["city"])

    plugin.serve()

A block is a function that is called in a thread of its own for each run, with the run and its input. It may return
at any time; what it raises is the run's error. This file is yours: change it where it does not fit.
"""
import concurrent.futures
import json
import os
import pkgutil
import queue
import re
import sys
import threading
import time
import traceback

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# The messages are made from a description of plugin.proto, so that no generated code ties this to a version of protobuf.
_pool = descriptor_pool.DescriptorPool()
for _file in descriptor_pb2.FileDescriptorSet.FromString(pkgutil.get_data(__name__, "plugin.binpb")).file:
    _pool.AddSerializedFile(_file.SerializeToString())


def message(name):
    """The class of a message of plugin.proto, such as Start."""
    descriptor = _pool.FindMessageTypeByName("patchbay.plugin.v1." + name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(_pool).GetPrototype(descriptor)


PERMANENT, INVALID_INPUT, AUTHENTICATION, RATE_LIMITED, TEMPORARY, CANCELLED, PANIC = range(1, 8)
NODE, AGENT, USER = 1, 2, 3  # who shares a key
LIMIT = 64 << 20  # bytes of a message
COOKIE = "PATCHBAY_PLUGIN"


class Error(Exception):
    """An error that its block foresaw: a sentence for the user, and what the server may do about it."""

    def __init__(self, text, kind=PERMANENT, retry_after=0.0):
        super().__init__(text)
        self.kind, self.retry_after = kind, retry_after


class Cancelled(Exception):
    """The run is to end. emit, call and wait raise it; let it pass."""


class Run:
    """One run of a block, and all that it may ask. Its methods may be called from any thread."""

    def __init__(self, start, send):
        self.raw, self.context, self.recorded = bytes(start.input), start.context, list(start.recorded)
        self.credentials = {c.pin: c for c in start.credentials}
        self.deadline = start.context.deadline_unix_ms / 1000 or float("inf")
        self._number, self._credit, self._calls, self._send = start.run, start.credit, start.calls, send
        self._called, self._replies, self._open, self._stats = 0, {}, set(), {}
        self._cancelled = self._ended = False
        self._changed = threading.Condition()

    def emit(self, pin, value):
        """Puts a value out. bytes are JSON and go out as they are. Waits while the server is busy with earlier ones."""
        data = value if isinstance(value, bytes) else json.dumps(value, allow_nan=False).encode()
        with self._changed:
            self._await(lambda: self._credit > 0)
            self._credit -= 1
            self._frame("output", pin=pin, value=data)

    def progress(self, text="", percent=0.0):
        """Tells who watches; it is never stored."""
        with self._changed:
            self._frame("progress", text=_clean(text), percent=percent)

    def log(self, level, text, **fields):
        """Writes to the server's log: trace, debug, info, warn or error."""
        with self._changed:
            self._frame("log", level=level, message=_clean(text), fields={k: _clean(str(v)) for k, v in fields.items()})

    def count(self, name, n=1):
        """Adds to a number that stands with the node execution when the run has ended."""
        self._stats[name] = self._stats.get(name, 0) + n

    def wait(self, seconds):
        """Sleeps, unless the run is cancelled."""
        end = time.time() + seconds
        with self._changed:
            self._await(lambda: time.time() >= end, end)

    def call(self, service, **arguments):
        """Asks the server: call("get_key", scope=AGENT, key="seen") gives a KeyValue. PROTOCOL.md lists the services."""
        with self._changed:
            if not self._calls:
                raise Error("the server answers no calls of this run")
            self._await(lambda: len(self._open) < self._calls)
            self._called += 1
            number = self._called
            request = message("Call")(run=self._number, number=number)
            field = request.DESCRIPTOR.fields_by_name[service]
            getattr(request, service).CopyFrom(message(field.message_type.name)(**arguments))
            if service != "close":
                self._open.add(number)
            self._frame("call", request)
            if service == "close":
                return None
            self._await(lambda: number in self._replies)
            reply = self._replies.pop(number)
        if reply.HasField("error"):
            raise Error(reply.error.message, reply.error.kind, reply.error.retry_after_ms / 1000)
        result = reply.WhichOneof("result")
        return getattr(reply, result) if result else None

    def request(self, url, method="GET", headers=(), body=b""):
        """Makes an HTTP request through the server: a plugin may have no network. Gives status, headers and body."""
        headers = [{"name": k, "value": v.encode()} for k, v in dict(headers).items()]
        response = self.call("http_request", method=method, url=url, headers=headers, body=body)
        handle, pieces = self._called, []
        while True:
            piece = self.call("read", handle=handle, max=256 << 10)
            pieces.append(piece.data)
            if piece.end:
                return response.status, {h.name: h.value.decode("latin-1") for h in response.headers}, b"".join(pieces)

    def _await(self, ready, until=float("inf")):
        while not ready():
            if self._cancelled or self._ended or time.time() >= self.deadline:
                raise Cancelled()
            left = min(self.deadline, until) - time.time()
            self._changed.wait(None if left == float("inf") else max(0.0, min(left, 3600)))
        if self._cancelled or self._ended:
            raise Cancelled()

    def members(self):
        """The input's pins as the bytes that were sent: emitting them passes values on exactly, 1e400 too."""
        text, found = self.raw.decode(), {}
        decode, skip = json.JSONDecoder().raw_decode, re.compile(r"[\s,:]*").match
        at = skip(text, text.index("{") + 1).end()
        while text[at] != "}":
            pin, at = decode(text, at)
            begin = skip(text, at).end()
            _, end = decode(text, begin)
            found[pin], at = text[begin:end].encode(), skip(text, end).end()
        return found

    def _frame(self, kind, frame=None, **fields):
        if not self._ended:
            frame = frame or message(kind.capitalize())(run=self._number, **fields)
            self._send(message("SessionResponse")(**{kind: frame}))

    def _take(self, kind, frame):
        with self._changed:
            if kind == "cancel":
                self._cancelled = True
            elif kind == "credit":
                self._credit += frame.n
            elif kind == "reply" and frame.number in self._open:
                self._open.discard(frame.number)
                self._replies[frame.number] = frame
            self._changed.notify_all()

    def _go(self, block):
        error = None
        try:
            for pin in block.described.credentials:
                if not pin.optional and pin.pin not in self.credentials:
                    raise Error(f"credentials are missing at {pin.pin}", AUTHENTICATION)
            block.function(self, {**block.defaults, **json.loads(self.raw)})
        except Cancelled:
            late = time.time() >= self.deadline
            error = {"kind": CANCELLED, "message": "the deadline is over" if late else "the run was cancelled"}
        except Error as e:
            error = {"kind": e.kind, "message": _clean(str(e)), "retry_after_ms": int(e.retry_after * 1000)}
        except BaseException as e:  # a run that crashes takes nobody with it
            traceback.print_exc()
            error = {"kind": PANIC, "message": _clean(f"{type(e).__name__}: {e}")}
        with self._changed:
            self._frame("done", error=error, stats=self._stats)
            self._ended = True


def _clean(text):
    return text.encode("utf-8", "replace")[: 64 << 10].decode("utf-8", "ignore")


class Plugin:
    """A plugin: its name is [a-z][a-z0-9_]*, its version a semantic one."""

    def __init__(self, name, version, description="", settings=(), permissions=None):
        self.name, self.version, self.description = name, version, description
        self.permissions = {"processes": 4096, **(permissions or {})}  # each run takes a thread
        self.settings = {s["name"]: s.get("default", "") for s in settings}  # by name; the values are there in a run
        self.blocks, self._settings = {}, list(settings)

    def block(self, *, id, name, input, output, required=(), examples=(), description="", categories=(), pure=False,
              streaming=False, once=False, static_output=False, credentials=()):
        """Makes a block of a function. input and output give each pin its JSON Schema. An example is a pair: the input,
        and the lists of values at each output pin; it documents the block and is a test of it."""

        def add(function):
            schema = {"type": "object", "properties": input, "required": list(required)}
            function.defaults = {pin: s["default"] for pin, s in input.items() if "default" in s}
            function.function = function
            function.examples = list(examples)
            function.described = message("BlockDescription")(
                id=id, name=name, description=description, categories=categories, static_output=static_output,
                input_schema=json.dumps(schema).encode(), credentials=credentials,
                output_schema=json.dumps({"type": "object", "properties": output}).encode(),
                traits={"pure": pure, "streaming": streaming, "once": once},
                examples=[{"input": json.dumps(given).encode(), "outputs": [
                    {"pin": pin, "value": json.dumps(value).encode()} for pin, values in expected.items()
                    for value in values]} for given, expected in examples])
            self.blocks[id] = function
            return function

        return add

    def try_run(self, block, input, **start):
        """Runs a block in a test, without a server: gives its outputs by pin, or raises its error."""
        frames = []
        run = Run(message("Start")(run=1, input=json.dumps(input).encode(), credit=1 << 30, **start), frames.append)
        run._go(block)
        done = frames[-1].done
        if done.HasField("error"):
            raise Error(done.error.message, done.error.kind)
        outputs = {}
        for frame in frames:
            if frame.HasField("output"):
                outputs.setdefault(frame.output.pin, []).append(json.loads(frame.output.value))
        return outputs

    def _describe(self):
        return message("DescribeResponse")(
            name=self.name, version=self.version, protocol_version=1, sdk="patchbay.py 1", description=self.description,
            blocks=[b.described for b in self.blocks.values()], settings=self._settings)

    def _credentials(self):
        """What all blocks together take, by provider."""
        taken = {}
        for block in self.blocks.values():
            for pin in block.described.credentials:
                for provider in pin.providers:
                    of = taken.setdefault(provider, {"provider": provider, "types": [], "scopes": []})
                    of["types"] += [t for t in pin.types if t not in of["types"]]
                    of["scopes"] += [s for s in pin.scopes if s not in of["scopes"]]
        return list(taken.values())

    def serve(self):
        """The whole of main. With the argument "manifest" it prints plugin.json."""
        if sys.argv[1:] == ["manifest"]:
            print(json.dumps({"name": self.name, "version": self.version, "protocol": 1, "auto_mtls": False,
                              "description": self.description, "permissions": self.permissions, "settings": [
                                  {key: s[key] for key in ("name", "description", "required", "secret") if key in s}
                                  for s in self._settings], "credentials": self._credentials()}, indent=2))
            return
        if os.environ.pop(COOKIE, "") != "ef2c1f0a5ab04f3e9ea4f1c9c2d3a7b6":
            sys.exit(f"This is the Patchbay plugin {self.name} {self.version}. A Patchbay server starts it: install it "
                     "with patchbay plugin install <folder of this program>")
        line = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what anybody prints becomes a line of the log
        path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin.sock")
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=[
            ("grpc.max_receive_message_length", LIMIT), ("grpc.max_send_message_length", LIMIT)])
        server.add_generic_rpc_handlers((_Service(self), ))
        server.add_insecure_port("unix:" + path)
        server.start()
        line.write(f"1|1|unix|{path}|grpc|\n")
        line.close()
        server.wait_for_termination()


class _Service(grpc.GenericRpcHandler):
    """Answers the server that started the process."""

    def __init__(self, plugin):
        self.plugin, self.began, self.runs, self.parent = plugin, None, {}, os.getppid()
        self.workers = concurrent.futures.ThreadPoolExecutor(100000)  # it makes one when none is idle
        threading.Thread(target=self._watch, args=(time.time(), ), daemon=True).start()

    def service(self, details):
        unary, name = grpc.unary_unary_rpc_method_handler, details.method.rpartition("/")[2]

        def serialize(m):
            return m.SerializeToString()

        return {
            "/grpc.health.v1.Health/Check": unary(lambda r, c: b"\x08\x01"),  # SERVING
            "/plugin.GRPCController/Shutdown": unary(lambda r, c: self._end() or b""),
            "/patchbay.plugin.v1.Plugin/Describe": unary(lambda r, c: self.plugin._describe(), None, serialize),
            "/patchbay.plugin.v1.Plugin/Configure": unary(
                self._configure, message("ConfigureRequest").FromString, serialize),
            "/patchbay.plugin.v1.Plugin/Session": grpc.stream_stream_rpc_method_handler(
                self._session, message("SessionRequest").FromString, serialize),
        }.get(details.method)

    def _configure(self, request, context):
        self.plugin.settings.update(request.settings)
        return message("ConfigureResponse")()

    def _session(self, requests, context):
        if self.began:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "this process has its session")
        self.began = out = queue.SimpleQueue()
        context.add_callback(self._end)

        def read():
            try:
                for request in requests:
                    self._take(request, out)
            except grpc.RpcError:
                pass
            out.put(None)  # the session's end is the order to exit

        threading.Thread(target=read, daemon=True).start()
        return iter(out.get, None)

    def _take(self, request, out):
        kind = request.WhichOneof("frame")
        if kind == "start":
            run = Run(request.start, out.put)
            block = self.plugin.blocks.get(request.start.block)
            if block is None:
                error = {"kind": PERMANENT, "message": _clean(f"there is no block {request.start.block!r}")}
                run._frame("done", error=error)
            else:
                self.runs[run._number] = run
                try:
                    self.workers.submit(self._work, run, block)
                except RuntimeError:  # no more threads: one that ends a run takes it
                    pass
        elif kind:
            frame = getattr(request, kind)
            run = self.runs.get(frame.run)
            if run:  # else it has crossed with the run's end
                run._take(kind, frame)

    def _work(self, run, block):
        run._go(block)
        self.runs.pop(run._number)

    def _end(self):
        """Cancels all runs, gives them two seconds, and exits."""
        def exit():
            for run in list(self.runs.values()):
                run._take("cancel", None)
            end = time.time() + 2
            while self.runs and time.time() < end:
                time.sleep(0.01)
            os._exit(0)

        threading.Thread(target=exit, daemon=True).start()

    def _watch(self, started):
        """Ends a process whose server died or forgot it."""
        while os.getppid() == self.parent and (self.began or time.time() < started + 60):
            time.sleep(1)
        os._exit(1)
