"""The differential harness in CI: a node of this version against the facts of a Kong, and against itself."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import traffic  # noqa: E402  (found by the lines above)
from compare import Node, difference, plain  # noqa: E402
from documents import Documents, smaller  # noqa: E402
from nodes import Nodes, call, eventually, free_address  # noqa: E402
from run import FACTS, Run, facts, rows_of  # noqa: E402


class Harness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes("differential")
        cls.addClassCleanup(lambda: cls.nodes.stop(False))
        cls.nodes.certificates()
        cls.a, cls.b = cls.start("a"), cls.start("b")
        cls.upstream = cls.enterClassContext(traffic.Upstream())

    @classmethod
    def start(cls, name):
        admin, proxy = free_address(), free_address()
        settings = {"admin_listen": admin, "proxy_listen": proxy, "status_listen": free_address()}
        cls.nodes.node(name, {"database": "off", "log_level": "error", **settings})

        def is_up():
            status, _ = call("GET", f"http://{admin}/")
            assert status == 200, status

        eventually(f"{name} answers", is_up)
        return Node(admin, proxy)

    def run_of(self, count, said):
        return Run("ci", count, 10, self.upstream.address, said.append)

    def test_facts_of_a_kong_hold(self):
        said = []
        rows = rows_of(FACTS)
        self.assertGreater(len(rows), 100)
        wrong = facts(self.a, rows, self.upstream.address, said.append)
        self.assertEqual(wrong, 0, "\n".join(said))

    def test_two_nodes_of_one_version_are_alike(self):
        said = []
        self.assertEqual(self.run_of(45, said).compare(self.a, self.b), 0, "\n".join(said))

    def test_what_one_answered_is_kept_and_compared(self):
        said = []
        run = self.run_of(6, said)
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "recorded.jsonl"
            run.record(self.a, file)
            about, *rows = rows_of(file)
            self.assertEqual(about["seed"], "ci")
            self.assertEqual(run.against(self.b, rows), 0, "\n".join(said))
            # What was kept is what is compared with.
            rows[3]["outcome"]["status"] = 500
            self.assertEqual(run.against(self.b, rows), 1)
        self.assertTrue(any(line.startswith("seed ci, document 3: ") for line in said), said)

    def test_a_fact_that_does_not_hold_is_found(self):
        row = {"case": "wrong", "document": {"_format_version": "3.0"}, "status": 400}
        said = []
        self.assertEqual(facts(self.a, [row], self.upstream.address, said.append), 1)
        self.assertIn("status: 400 expected, 201 found", said[1])

    def test_seeds_tell_the_same_story_and_reach_both_answers(self):
        served = refused = 0
        for number in range(60):
            document, again = Documents("ci")[number], Documents("ci")[number]
            self.assertEqual(document.tree, again.tree)
            if document.served:
                served += 1
                continue
            status, _ = self.a.post(document.tree)
            refused += status == 400
        self.assertEqual(served, 20)
        self.assertGreater(refused, 5)
        self.assertLess(refused, 40)
        self.assertNotEqual(Documents("ci")[1].tree, Documents("other")[1].tree)

    def test_differences_are_made_small(self):
        tree = {"services": [{"name": "a", "host": "h"}, {"name": "b", "host": 1, "tags": ["t"]}]}
        progress = True
        while progress:
            progress = False
            for candidate in smaller(tree):
                if '"host": 1' in json.dumps(candidate):
                    tree, progress = candidate, True
                    break
        self.assertEqual(tree, {"services": [{"host": 1}]})

    def test_what_does_not_count_is_left_out(self):
        self.assertEqual(plain("expected one of: b, a"), plain("expected one of: a, b"))
        self.assertEqual(plain([]), plain({}))
        self.assertEqual(difference({"a": [1, 2]}, {"a": [1, 2]}), [])
        self.assertEqual(difference({"a": [1, 2]}, {"a": [1, 3]}), ["a.1: 2  <>  3"])


if __name__ == "__main__":
    unittest.main()
