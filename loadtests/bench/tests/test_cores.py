import unittest

from cores import Cores, choose, parse_list


class ChoosingCores(unittest.TestCase):
    def test_one_core_is_shared(self):
        self.assertEqual(choose([3], {3: {3}}), Cores(3, 3, 3))

    def test_two_cores_are_divided_between_proxy_and_the_rest(self):
        self.assertEqual(choose([0, 1], {0: {0}, 1: {1}}), Cores(0, 1, 1))

    def test_the_thread_beside_the_proxy_stays_idle(self):
        siblings = {core: {core & ~1, core | 1} for core in range(6)}
        self.assertEqual(choose(list(range(6)), siblings), Cores(0, 2, 4))
        self.assertEqual(choose(list(range(4)), siblings), Cores(0, 2, 3))

    def test_two_threads_of_one_core_are_better_than_one(self):
        self.assertEqual(choose([0, 1], {0: {0, 1}, 1: {0, 1}}), Cores(0, 1, 1))

    def test_lists_of_the_kernel(self):
        self.assertEqual(parse_list("0,4\n"), {0, 4})
        self.assertEqual(parse_list("2-3\n"), {2, 3})
        self.assertEqual(parse_list("5\n"), {5})
