"""Clients that keep their connection: each sends a request, waits for the answer,
thinks, and sends the next. One process has thousands of them in one loop over epoll.

A process opens its share of the connections little by little, says "ready" when each
has had an answer, measures in the interval that it is told, and reports.
"""

import array
import collections
import dataclasses
import gc
import heapq
import random
import select
import socket
import ssl
import time
from typing import Optional

# Linux: see idle_connections.py. A source address has all of its ports for lb.
IP_BIND_ADDRESS_NO_PORT = 24
CONNECTIONS_PER_SOURCE = 4000

# An answer that takes longer is an error.
ANSWER_SECONDS = 10

# How often answers that do not come are looked for.
LOOK_SECONDS = 1

# Who lost its connection opens another one after so long.
AGAIN_SECONDS = 1

LARGEST_ANSWER = 1 << 20


@dataclasses.dataclass
class Share:
    """What one process is to do."""

    host: str
    port: int
    path: str
    tls: bool
    ca: Optional[str]
    first: int  # number of its first client among all
    count: int
    ramp: float
    think: float


@dataclasses.dataclass
class Report:
    """What one process saw."""

    latencies: bytes  # doubles, in seconds
    lateness: bytes  # doubles: by how much requests left later than they were due
    errors: dict  # how often, by what went wrong
    open: int  # connections at the end


class Broken(Exception):
    """A connection or an answer is not what it has to be."""


class Answer:
    """One response as it comes in. Only what this service sends is understood: a
    Content-Length, and a connection that stays."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.length = None  # with its head, when that is known

    def add(self, data: bytes) -> bool:
        """Whether it is complete now."""
        self.received += data
        if self.length is None:
            end = self.received.find(b"\r\n\r\n")
            if end < 0:
                if len(self.received) > LARGEST_ANSWER:
                    raise Broken("an answer without end of its head")
                return False
            self.length = end + 4 + body_length(bytes(self.received[:end]))
        if len(self.received) > self.length:
            raise Broken("more than one answer")
        return len(self.received) == self.length


def body_length(head: bytes) -> int:
    status = head[9:12]
    if not head.startswith(b"HTTP/1.1 ") or status != b"200":
        raise Broken(f"status {status.decode('latin-1')}")
    length = None
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        value = value.strip()
        if name == b"content-length" and value.isdigit():
            length = int(value)
        elif name == b"connection" and value == b"close":
            raise Broken("an answer that closes its connection")
    if length is None or length > LARGEST_ANSWER:
        raise Broken("an answer without usable Content-Length")
    return length


class Client:
    __slots__ = ("number", "life", "connection", "is_connected", "answer", "due", "sent", "was_answered")

    def __init__(self, number: int) -> None:
        self.number = number
        self.life = 0  # how many connections it has lost
        self.was_answered = False
        self.forget()

    def forget(self) -> None:
        self.connection = None
        self.is_connected = False  # the handshake of TLS included
        self.answer = None  # the one that is waited for
        self.due = self.sent = 0.0


class Clients:
    """All clients of one process."""

    def __init__(self, share: Share, parent) -> None:
        self.share = share
        self.parent = parent
        self.request = f"GET {share.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self.tls = ssl.create_default_context(cafile=share.ca) if share.tls else None
        self.epoll = select.epoll()
        self.epoll.register(parent.fileno(), select.EPOLLIN)
        self.by_descriptor = {}
        self.waiting = []  # heap of (when, number, life, client): who acts next
        self.unanswered = share.count  # clients without a first answer
        self.errors = collections.Counter()
        self.latencies = array.array("d")
        self.lateness = array.array("d")
        self.begin = self.end = float("inf")  # of the measured interval

    def run(self) -> Report:
        # Nothing here is a cycle; a collection would only be a pause.
        gc.disable()
        start = time.monotonic()
        for index in range(self.share.count):
            client = Client(self.share.first + index)
            self.act_at(start + self.share.ramp * index / self.share.count, client)
        look_at = start
        while True:
            now = time.monotonic()
            if now >= look_at:
                self.look_for_lost_answers(now)
                look_at = now + LOOK_SECONDS
            if now >= self.end and not any(client.answer for client in self.by_descriptor.values()):
                return self.report()
            while self.waiting and self.waiting[0][0] <= now:
                due, _, life, client = heapq.heappop(self.waiting)
                # Otherwise it was to use a connection that is gone.
                if life == client.life and due < self.end:
                    self.act(client, due)
            next_at = min(look_at, self.waiting[0][0] if self.waiting else look_at)
            for descriptor, _ in self.epoll.poll(max(0.0, next_at - time.monotonic())):
                if descriptor == self.parent.fileno():
                    self.begin, self.end = self.parent.recv()
                    self.epoll.unregister(descriptor)
                else:
                    self.guarded(self.on_event, self.by_descriptor[descriptor])

    def act_at(self, when: float, client: Client) -> None:
        heapq.heappush(self.waiting, (when, client.number, client.life, client))

    def act(self, client: Client, due: float) -> None:
        if client.connection is None:
            self.guarded(self.connect, client)
        else:
            client.due = due
            self.guarded(self.send, client)

    def guarded(self, step, client: Client) -> None:
        try:
            step(client)
        except (OSError, Broken) as error:
            self.lose(client, str(error) or type(error).__name__)

    def lose(self, client: Client, why: str) -> None:
        self.errors[why] += 1
        if client.connection is not None:
            self.by_descriptor.pop(client.connection.fileno(), None)
            client.connection.close()
        client.forget()
        client.life += 1
        self.act_at(time.monotonic() + AGAIN_SECONDS, client)

    def connect(self, client: Client) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((f"127.0.0.{2 + client.number // CONNECTIONS_PER_SOURCE}", 0))
        client.connection = connection
        client.sent = time.monotonic()
        client.answer = Answer()  # waited for from now on: connecting takes its time too
        self.by_descriptor[connection.fileno()] = client
        self.epoll.register(connection.fileno(), select.EPOLLOUT)
        try:
            connection.connect((self.share.host, self.share.port))
        except BlockingIOError:
            pass

    def on_event(self, client: Client) -> None:
        if not client.is_connected:
            self.finish_connecting(client)
            return
        while True:
            try:
                data = client.connection.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise Broken("closed during an answer" if client.answer else "closed between requests")
            if client.answer is None:
                raise Broken("data that nobody asked for")
            if client.answer.add(data):
                self.on_answer(client)
            # TLS holds back what epoll does not see; in clear it would say so again.
            if self.tls is None:
                return

    def finish_connecting(self, client: Client) -> None:
        if self.tls is not None:
            if not isinstance(client.connection, ssl.SSLSocket):
                check_connected(client.connection)
                # Takes the descriptor over: it stays the same.
                client.connection = self.tls.wrap_socket(
                    client.connection, server_hostname="localhost", do_handshake_on_connect=False
                )
            try:
                client.connection.do_handshake()
            except ssl.SSLWantReadError:
                self.epoll.modify(client.connection.fileno(), select.EPOLLIN)
                return
            except ssl.SSLWantWriteError:
                self.epoll.modify(client.connection.fileno(), select.EPOLLOUT)
                return
        else:
            check_connected(client.connection)
        client.is_connected = True
        self.epoll.modify(client.connection.fileno(), select.EPOLLIN)
        client.due = time.monotonic()
        self.send(client)

    def send(self, client: Client) -> None:
        client.answer = Answer()
        client.sent = time.monotonic()
        # One request is far smaller than the buffer of a socket.
        if client.connection.send(self.request) != len(self.request):
            raise Broken("a request did not fit into its socket")

    def on_answer(self, client: Client) -> None:
        now = time.monotonic()
        if self.begin <= client.due < self.end:
            self.latencies.append(now - client.sent)
            self.lateness.append(client.sent - client.due)
        client.answer = None
        if not client.was_answered:
            client.was_answered = True
            self.unanswered -= 1
            if self.unanswered == 0:
                self.parent.send("ready")
        # Not all at the same pace, so that they do not gather.
        self.act_at(now + self.share.think * random.uniform(0.5, 1.5), client)

    def look_for_lost_answers(self, now: float) -> None:
        too_old = now - ANSWER_SECONDS
        for client in [it for it in self.by_descriptor.values() if it.answer and it.sent < too_old]:
            self.lose(client, f"no answer in {ANSWER_SECONDS} s")

    def report(self) -> Report:
        clients = self.by_descriptor.values()
        is_open = sum(client.is_connected and is_established(client.connection) for client in clients)
        for client in clients:
            client.connection.close()
        return Report(self.latencies.tobytes(), self.lateness.tobytes(), dict(self.errors), is_open)


def check_connected(connection: socket.socket) -> None:
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, "cannot connect")


def is_established(connection: socket.socket) -> bool:
    # The first field of struct tcp_info, on Linux: TCP_ESTABLISHED.
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


def run(share: Share, parent) -> None:
    """The whole life of a process of clients."""
    parent.send(Clients(share, parent).run())
