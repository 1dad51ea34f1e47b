"""What can be said of the files without running anything of Langur: their shape, the rules'
tests, and that the parts agree with each other."""

import re
import subprocess
import unittest

from files import (
    ALERT_TESTS,
    GRAFANA,
    PROMETHEUS,
    ROOT,
    RULES,
    VARIABLE,
    alerts,
    dashboards,
    datasource,
    read_yaml,
    variables,
)

PANEL_TYPES = {"timeseries", "stat", "table"}
# The units of Grafana that the dashboards use; a wrong one is shown as it is, without a warning.
UNITS = {
    None, "none", "short", "s", "ms", "bytes", "Bps", "reqps", "wps", "cps", "percentunit",
    "bool_on_off", "bool_yes_no",
}  # fmt: skip
COLUMNS = 24
# Set by Grafana itself.
BUILT_IN = {"__rate_interval", "__range", "__interval"}


class Prometheus(unittest.TestCase):
    def promtool(self, *arguments):
        done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_promtool_accepts_configuration_and_rules(self):
        self.promtool("check", "config", PROMETHEUS / "prometheus.yml")
        self.promtool("check", "rules", RULES)

    def test_alerts_fire_when_they_should_and_only_then(self):
        self.promtool("test", "rules", ALERT_TESTS)

    def test_every_alert_is_seen_firing_and_silent_and_is_explained(self):
        seen = {}
        for test in read_yaml(ALERT_TESTS)["tests"]:
            for case in test.get("alert_rule_test", []):
                seen.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
        page = (ROOT / "docs" / "observability.md").read_text()
        names = [rule["alert"] for rule in alerts()]
        for rule in alerts():
            with self.subTest(rule["alert"]):
                self.assertEqual(seen.get(rule["alert"]), {True, False})
                self.assertIn(f"\n## {rule['alert']}\n", page)
                self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
                self.assertIn("summary", rule["annotations"])
        self.assertEqual(sorted(set(names)), sorted(names))
        explained = re.findall(r"^## (Langur\w+)$", page, re.MULTILINE)
        self.assertEqual(sorted(explained), sorted(names))

    def test_the_default_ports_of_the_status_listeners_are_scraped(self):
        def port(file):
            return re.search(r"^#?status_listen = .*?:(\d+)", (ROOT / "config" / file).read_text(), re.M)[1]

        jobs = {job["job_name"]: job for job in read_yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]}
        control = jobs["langur-control-plane"]["static_configs"][0]["targets"]
        self.assertEqual({target.split(":")[1] for target in control}, {port("control_plane.conf")})
        (data,) = jobs["langur-data-plane"]["dns_sd_configs"]
        self.assertEqual(str(data["port"]), port("data_plane.conf"))
        self.assertEqual(data["type"], "A")

    def test_the_interval_that_grafana_is_told_is_the_one_of_the_scrapes(self):
        interval = read_yaml(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]
        self.assertEqual(datasource()["jsonData"]["timeInterval"], interval)


class Grafana(unittest.TestCase):
    def test_provisioning_has_what_grafana_requires(self):
        source = datasource()
        for field in ("name", "type", "uid", "url", "access"):
            self.assertTrue(source.get(field), field)
        self.assertEqual(source["type"], "prometheus")
        providers = read_yaml(GRAFANA / "provisioning" / "dashboards" / "langur.yml")
        self.assertEqual(providers["apiVersion"], 1)
        (provider,) = providers["providers"]
        self.assertEqual(provider["type"], "file")
        self.assertTrue(provider["options"]["path"].startswith("/"))

    def test_dashboards_are_named_by_their_uid_and_unlike_each_other(self):
        boards = dashboards()
        self.assertEqual(len(boards), 5)
        for name, board in boards.items():
            self.assertEqual(name, board["uid"] + ".json")
            # Set by Grafana when it imports; a file that has one belongs to some database.
            self.assertNotIn("id", board)
            for field in ("title", "schemaVersion", "time", "templating", "panels"):
                self.assertIn(field, board, name)
        for field in ("uid", "title"):
            values = [board[field] for board in boards.values()]
            self.assertEqual(len(set(values)), len(values), values)

    def test_panels_are_whole(self):
        source = {"type": "prometheus", "uid": datasource()["uid"]}
        for name, board in dashboards().items():
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(set(ids)), len(ids), name)
            titles = [panel["title"] for panel in board["panels"]]
            self.assertEqual(len(set(titles)), len(titles), name)
            for panel in board["panels"]:
                with self.subTest(dashboard=name, panel=panel["title"]):
                    self.assertIn(panel["type"], PANEL_TYPES)
                    self.assertEqual(panel["datasource"], source)
                    self.assertIn(panel["fieldConfig"]["defaults"].get("unit"), UNITS)
                    place = panel["gridPos"]
                    self.assertLessEqual(place["x"] + place["w"], COLUMNS)
                    self.assertGreater(place["h"], 0)
                    self.assertTrue(panel["targets"])
                    refs = [target["refId"] for target in panel["targets"]]
                    self.assertEqual(len(set(refs)), len(refs))
                    for target in panel["targets"]:
                        self.assertTrue(target["expr"].strip())
                        self.assertNotIn("vector(0)", target["expr"])
                        if panel["type"] == "table":
                            self.assertEqual((target["format"], target["instant"]), ("table", True))

    def test_panels_do_not_overlap(self):
        for name, board in dashboards().items():
            taken = {}
            for panel in board["panels"]:
                place = panel["gridPos"]
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        other = taken.setdefault((x, y), panel["title"])
                        self.assertEqual(other, panel["title"], name)

    def test_variables_are_defined_and_used(self):
        source = {"type": "prometheus", "uid": datasource()["uid"]}
        for name, board in dashboards().items():
            defined = variables(board)
            used = set()
            texts = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
            texts += [variable["query"]["query"] for variable in defined.values()]
            for text in texts:
                used |= {match[1] or match[2] for match in VARIABLE.finditer(text)}
            self.assertEqual(used - BUILT_IN, set(defined), name)
            for variable in defined.values():
                self.assertEqual(variable["type"], "query")
                self.assertEqual(variable["datasource"], source)
                self.assertEqual(variable["definition"], variable["query"]["query"])
                self.assertTrue(variable["allValue"])


if __name__ == "__main__":
    unittest.main()
