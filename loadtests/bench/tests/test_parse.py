import pathlib
import tempfile
import unittest

import parse

WRK = """\
Running 1s test @ http://127.0.0.1:13333/
  1 threads and 32 connections
Requests/sec:  32839.12
{"p50_ms": 0.900, "p99_ms": 12.850, "p999_ms": 22.380, "requests": 32839, "requests_per_second": 32839, \
"errors": 7, "error_statuses": 5}
"""

H2LOAD = """\
finished in 2.01s, 45291.00 req/s, 6.44MB/s
requests: 90582 total, 90646 started, 90582 done, 90578 succeeded, 4 failed, 1 errored, 0 timeout
status codes: 90578 2xx, 0 3xx, 3 4xx, 0 5xx
"""

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.001000           1     40000           recvfrom
 25.00    0.000500           1     40001         3 sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.001500           1     80001         3 total
"""


class Parse(unittest.TestCase):
    def test_percentile_is_a_value_that_was_measured(self):
        values = [float(value) for value in range(1, 101)]
        self.assertEqual(parse.percentile(values, 50), 50)
        self.assertEqual(parse.percentile(values, 99), 99)
        self.assertEqual(parse.percentile(values, 99.9), 100)
        self.assertEqual(parse.percentile([7.0], 50), 7)

    def test_percentile_of_nothing_is_refused(self):
        with self.assertRaises(parse.Unreadable):
            parse.percentile([], 50)

    def test_wrk_tells_refusals_from_failures(self):
        seen = parse.clients_json(WRK)
        self.assertEqual((seen.requests, seen.refused, seen.errors, seen.p99_ms), (32839, 5, 2, 12.85))

    def test_output_without_a_result_is_refused(self):
        with self.assertRaises(parse.Unreadable):
            parse.clients_json("unable to connect")
        with self.assertRaises(parse.Unreadable):
            parse.h2load("unable to connect", "")

    def test_h2load_has_its_percentiles_from_the_log(self):
        log = "1700\t200\t1000\n1701\t200\t3000\n1702\t429\t2000\n1703\t-1\t9000\n"
        seen = parse.h2load(H2LOAD, log)
        self.assertEqual((seen.requests, seen.requests_per_second), (3, 45291.0))
        self.assertEqual((seen.p50_ms, seen.p99_ms), (2.0, 3.0))
        self.assertEqual((seen.refused, seen.errors), (1, 3))

    def test_strace_counts_calls_with_and_without_errors(self):
        self.assertEqual(parse.strace_calls(STRACE), {"recvfrom": 40000, "sendto": 40001})

    def test_callgrind_total_is_not_the_summary_of_the_last_part(self):
        with tempfile.TemporaryDirectory() as directory:
            out = pathlib.Path(directory, "callgrind.out")
            out.write_text("events: Ir\nsummary: 0\n\nfn=(1) main\n1 5\n\ntotals: 1991347\n")
            self.assertEqual(parse.callgrind_instructions(out), 1991347)
