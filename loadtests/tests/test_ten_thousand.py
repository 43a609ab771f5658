"""Tests of the keep-alive clients: their arithmetic, what they take for an answer, and
a few of them against servers of this process."""

import argparse
import array
import contextlib
import http.server
import io
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import keep_alive_clients
import ten_thousand


class Arithmetic(unittest.TestCase):
    def test_a_percentile_is_a_value_that_occurred(self):
        hundred = list(range(1, 101))
        for percent, expected in ((50, 50), (99, 99), (99.9, 100), (100, 100), (0, 1)):
            self.assertEqual(ten_thousand.percentile(hundred, percent), expected)
        self.assertEqual(ten_thousand.percentile([7.0], 99.9), 7.0)
        self.assertEqual(ten_thousand.percentile([1, 2], 50), 1)
        self.assertEqual(ten_thousand.percentile([1, 2], 51), 2)

    def test_a_percentile_does_not_slip_by_a_rank_of_rounding(self):
        for count in (1000, 10_000, 100_000, 1_000_000):
            ordered = range(1, count + 1)
            self.assertEqual(ten_thousand.percentile(ordered, 99.9), count * 999 // 1000)
            self.assertEqual(ten_thousand.percentile(ordered, 99), count * 99 // 100)

    def test_the_limit_on_descriptors_asks_for_processes(self):
        self.assertEqual(ten_thousand.processes_needed(10_000, 20_000), 2)
        self.assertEqual(ten_thousand.processes_needed(10_000, 4096), 3)
        self.assertEqual(ten_thousand.processes_needed(10_000, 1024), 11)
        self.assertEqual(ten_thousand.processes_needed(1, 1024), 1)
        with self.assertRaises(SystemExit):
            ten_thousand.processes_needed(1, 64)

    def test_shares_are_all_of_it_and_nearly_equal(self):
        for connections, processes in ((10, 3), (10_000, 7), (5, 5), (1, 1)):
            shares = ten_thousand.shares(connections, processes)
            self.assertEqual(len(shares), processes)
            following = 0
            for first, count in shares:
                self.assertEqual(first, following)
                following += count
            self.assertEqual(following, connections)
            counts = [count for _, count in shares]
            self.assertLessEqual(max(counts) - min(counts), 1)


class Answers(unittest.TestCase):
    whole = b"HTTP/1.1 200 OK\r\nServer: x\r\nCONTENT-Length: 3\r\n\r\nabc"

    def test_an_answer_is_complete_with_its_last_byte(self):
        for cut in range(len(self.whole)):
            answer = keep_alive_clients.Answer()
            self.assertFalse(answer.add(self.whole[:cut]))
            self.assertTrue(answer.add(self.whole[cut:]))

    def test_what_is_no_good_answer_is_told(self):
        for received, why in (
            (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status 503"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "closes"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length"),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "status"),
            (self.whole + b"H", "more than one"),
        ):
            with self.assertRaisesRegex(keep_alive_clients.Broken, why):
                keep_alive_clients.Answer().add(received)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """Clients that leave are expected."""


class Users(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class Refuses(Users):
    status = 503


class ClosesAtOnce(Users):
    def handle(self):
        pass


class AgainstServers(unittest.TestCase):
    def load(self, handler, patience=60.0):
        server = Server(("127.0.0.1", 0), handler)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            options = argparse.Namespace(
                connections=20, seconds=1, think=0.2, ramp=0.2, tls=False, ca=None,
                path="/", url=f"http://localhost:{server.server_address[1]}/",
            )
            memory = ten_thousand.Memory(None)
            workers = ten_thousand.Workers(options, 2)
            if not workers.all_ready(time.monotonic() + patience, memory):
                options.seconds = 0
            reports = workers.measure(options.seconds, memory)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                return ten_thousand.summarise(options, reports, memory), printed.getvalue()
        finally:
            server.shutdown()
            server.server_close()
            serving.join()

    def test_clients_that_are_all_served_are_a_good_result(self):
        good, printed = self.load(Users)
        self.assertTrue(good, printed)
        self.assertIn("20 of 20 open", printed)
        self.assertRegex(printed, r"errors +0\n")
        self.assertRegex(printed, r"p50 .*, p99 .*, p99\.9 ")

    def test_what_keeps_clients_from_being_served_is_told(self):
        for handler, why in ((Refuses, "status 503"), (ClosesAtOnce, "closed|reset")):
            good, printed = self.load(handler, patience=1.0)
            self.assertFalse(good)
            self.assertRegex(printed, r"requests +0 in 0 s\n")
            self.assertRegex(printed, why)

    def test_errors_and_connections_that_are_gone_are_no_good_result(self):
        options = argparse.Namespace(connections=2, seconds=1)
        latency = array.array("d", [0.001]).tobytes()
        for errors, is_open, expected in (({}, 2, True), ({"status 503": 1}, 2, False), ({}, 1, False)):
            report = keep_alive_clients.Report(latency, latency, errors, is_open)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self.assertEqual(ten_thousand.summarise(options, [report], ten_thousand.Memory(None)), expected)
            for what, count in errors.items():
                self.assertIn(f"{count} x {what}", printed.getvalue())


if __name__ == "__main__":
    unittest.main()
