import os
import subprocess
import time
import unittest

import accounting
from accounting import Usage, spent


class Accounting(unittest.TestCase):
    def test_exact_time_is_divided_as_the_ticks_are(self):
        before = Usage(total=1_000_000, user=0, system=0, threads=frozenset({1}))
        after = Usage(total=9_000_000, user=2_000_000, system=6_000_000, threads=frozenset({1, 2}))
        self.assertEqual(spent(before, after), accounting.Spent(total=8000, user=2000, system=6000))

    def test_a_thread_that_ended_leaves_the_ticks(self):
        before = Usage(total=5_000_000, user=0, system=0, threads=frozenset({1, 2}))
        after = Usage(total=1_000_000, user=10_000_000, system=10_000_000, threads=frozenset({1}))
        self.assertEqual(spent(before, after).total, 20_000)

    def test_nothing_spent_is_nothing(self):
        idle = Usage(total=5, user=0, system=0, threads=frozenset({1}))
        self.assertEqual(spent(idle, idle), accounting.Spent(0, 0, 0))

    def test_all_processes_of_a_group_count(self):
        script = "(while :; do :; done) & (while :; do :; done) & wait"
        process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
        try:
            before = accounting.usage(process.pid)
            deadline = time.monotonic() + 30
            while len(list(accounting.processes(process.pid))) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            while spent(before, accounting.usage(process.pid)).total < 50_000 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(len(list(accounting.processes(process.pid))), 3)
            self.assertGreaterEqual(spent(before, accounting.usage(process.pid)).total, 50_000)
            self.assertGreater(accounting.resident_kib(process.pid), 0)
        finally:
            os.killpg(process.pid, 9)
            process.wait()
