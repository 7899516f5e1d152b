"""A broker that speaks just enough Kafka for a client to push telemetry, answers 71 and 72 by a script, and writes down
what came and what it answered. One scenario a process. Loopback only, standard library only."""

import json
import socket
import struct
import threading
import time
import uuid

KEYS = {3: (0, 12), 10: (0, 2), 18: (0, 4)}
TELEMETRY = {71: (0, 0), 72: (0, 0)}
INSTANCE = uuid.UUID("701ae8ad-d22a-4e9a-b4aa-4a9cbd86a13c").bytes


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        piece = self.data[self.at:self.at + length]
        if len(piece) != length:
            raise ValueError("the request ends too early")
        self.at += length
        return piece

    def number(self, shape):
        return struct.unpack(">" + shape, self.take(struct.calcsize(shape)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number("B")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def compact(self):
        length = self.varint()
        return None if length == 0 else self.take(length - 1)

    def text(self):
        length = self.number("h")
        return None if length < 0 else self.take(length)

    def tags(self):
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def compact(data):
    return varint(len(data) + 1) + data


class Broker:
    """`script`: interval_ms, metrics, delta, codecs; get and push: lists of "ok", an error code or "close" (the last
    is repeated); absent_ms: so long 71 and 72 are not offered, then all connections are closed; close_at_ms: all
    connections are closed then, with nothing in flight if it was chosen well."""

    def __init__(self, script):
        self.script, self.lines, self.lock = script, [], threading.Lock()
        self.gets = self.pushes = self.subscription = self.connections = 0
        self.open, self.start, self.reached = {}, None, threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def begin(self):
        """Time is counted from the first connection: what a client needs to start is not its protocol's."""
        self.start = time.monotonic()
        for after in (self.script.get("absent_ms"), self.script.get("close_at_ms")):
            if after:
                threading.Timer(after / 1000, self.close_all).start()
        self.reached.set()

    def ms(self):
        return round((time.monotonic() - self.start) * 1000)

    def note(self, **line):
        with self.lock:
            self.lines.append({"ms": self.ms(), **line})

    def offers(self):
        return self.ms() >= self.script.get("absent_ms", 0)

    def close_all(self):
        for number, connection in list(self.open.items()):
            self.shut(number, connection)

    def shut(self, number, connection):
        if self.open.pop(number, None):
            self.note(connection=number, event="closed", by="broker")
            connection.shutdown(socket.SHUT_RDWR)

    def accept(self):
        while True:
            connection, _ = self.server.accept()
            if not self.connections:
                self.begin()
            self.connections += 1
            self.open[self.connections] = connection
            threading.Thread(target=self.serve, args=(self.connections, connection), daemon=True).start()

    def serve(self, number, connection):
        self.note(connection=number, event="opened")
        try:
            with connection.makefile("rb") as stream:
                while head := stream.read(4):
                    answer = self.answer(number, Reader(stream.read(struct.unpack(">i", head)[0])))
                    if answer is None:
                        self.shut(number, connection)
                        return
                    connection.sendall(struct.pack(">i", len(answer)) + answer)
        except (OSError, ValueError, struct.error):
            pass
        if self.open.pop(number, None):
            self.note(connection=number, event="closed", by="client")

    def answer(self, number, request):
        key, version, correlation = request.number("h"), request.number("h"), request.number("i")
        request.text()
        head = struct.pack(">i", correlation)
        if key == 18:
            return head + self.api_versions(number, version, request)
        if key == 3:
            request.tags()
            return head + b"\0" + self.metadata(request)
        if key == 10:
            nobody = struct.pack(">hiHi", 15, -1, 0, -1)
            return head + (nobody if version == 0 else struct.pack(">ihhiHi", 0, 15, -1, -1, 0, -1))
        request.tags()
        body = self.get(number, request) if key == 71 else self.push(number, request) if key == 72 else None
        return None if body is None else head + b"\0" + body

    def api_versions(self, number, version, request):
        if version > 4:
            return struct.pack(">hihhh", 35, 1, 18, 0, 4)
        software = None
        if version >= 3:
            request.tags()
            software = [(request.compact() or b"").decode() for _ in range(2)]
        offers = self.offers()
        keys = sorted({**KEYS, **(TELEMETRY if offers else {})}.items())
        self.note(connection=number, request="ApiVersions", version=version, software=software, telemetry=offers)
        rows = [struct.pack(">hhh", key, *span) for key, span in keys]
        if version < 3:
            return struct.pack(">hi", 0, len(rows)) + b"".join(rows) + struct.pack(">i", 0) * (version > 0)
        return struct.pack(">h", 0) + varint(len(rows) + 1) + b"".join(r + b"\0" for r in rows) + b"\0\0\0\0\0"

    def metadata(self, request):
        """Version 12: this broker alone, and no topic that anybody asks for."""
        topics = [(request.take(16), request.compact(), request.tags()) for _ in range(max(0, request.varint() - 1))]
        rows = b"".join(
            struct.pack(">h", 3) + varint(0 if name is None else len(name) + 1) + (name or b"") + id
            + b"\0\1" + struct.pack(">i", -(1 << 31)) + b"\0"
            for id, name, _ in topics)
        here = struct.pack(">i", 1) + compact(b"127.0.0.1") + struct.pack(">i", self.port) + b"\0\0"
        return (struct.pack(">i", 0) + varint(2) + here + compact(b"traces") + struct.pack(">i", 1)
                + varint(len(topics) + 1) + rows + b"\0")

    def next(self, kind, index):
        steps = self.script.get(kind, ["ok"])
        return steps[min(index, len(steps) - 1)]

    def get(self, number, request):
        asked = request.take(16)
        step = self.next("get", self.gets)
        self.gets += 1
        line = dict(connection=number, request="GetTelemetrySubscriptions", instance=asked.hex())
        if step == "close":
            self.note(**line, answer="close")
            return None
        if step != "ok":
            self.note(**line, answer={"error": step})
            return struct.pack(">ih", 0, step) + bytes(16 + 4) + b"\1" + bytes(4 + 4 + 1) + b"\1\0"
        self.subscription += 1
        script, instance = self.script, INSTANCE if asked == bytes(16) else asked
        codecs, interval = script.get("codecs", [4, 3, 1, 2]), script.get("interval_ms", 1000)
        metrics, delta = script.get("metrics", ["*"]), script.get("delta", False)
        self.note(**line, answer={
            "error": 0, "instance": instance.hex(), "subscription_id": self.subscription, "codecs": codecs,
            "interval_ms": interval, "metrics": metrics, "delta": delta})
        return (struct.pack(">ih", 0, 0) + instance + struct.pack(">i", self.subscription)
                + varint(len(codecs) + 1) + bytes(codecs) + struct.pack(">ii?", interval, 1 << 20, delta)
                + varint(len(metrics) + 1) + b"".join(compact(name.encode()) for name in metrics) + b"\0")

    def push(self, number, request):
        instance, subscription = request.take(16), request.number("i")
        terminating, codec, metrics = request.number("?"), request.number("b"), request.compact()
        step = "ok" if terminating else self.next("push", self.pushes)
        self.pushes += not terminating
        line = dict(connection=number, request="PushTelemetry", instance=instance.hex(), subscription_id=subscription,
                    terminating=terminating, codec=codec, bytes=None if metrics is None else len(metrics))
        if step == "close":
            self.note(**line, answer="close")
            return None
        error = 0 if step == "ok" else step
        self.note(**line, answer={"error": error})
        return struct.pack(">ih", 0, error) + b"\0"

    def write(self, path):
        self.note(event="end")
        with self.lock, open(path, "w") as out:
            for line in self.lines:
                out.write(json.dumps(line, separators=(",", ":")) + "\n")
