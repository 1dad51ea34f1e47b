"""Every query of every dashboard, and the alerts, against a real Prometheus that scrapes a real
cluster. What exists only when something fails is provoked: a failing upstream, a plugin that one
data plane lacks, a telemetry buffer that overflows, a target whose name does not resolve, at last a
control plane that is killed."""

import atexit
import math
import re
import signal
import threading
import time
import unittest

from files import alerts, dashboards, substitute, variables
from stack import Load, Stack, call, eventually

# Values that change with every write of the configuration; the rates are another matter.
MOVING = re.compile(r"^(max\()?langur_(config_revision|revision_in_effect|journal_revisions)")
COUNTED = re.compile(r"\b(rate|increase)\(")
# As Grafana computes it: four scrapes, with a scrape interval of one second.
BUILT_IN = {"__rate_interval": "4s", "__range": "30s", "__interval": "1s"}


def values(series):
    points = [point for one in series for point in one.get("values", [one.get("value")])]
    return [number for _, text in points if math.isfinite(number := float(text))]


class Live(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # SIGTERM as Ctrl-C. Neither lets unittest clean up.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        cls.stack = Stack()
        atexit.register(cls.stack.stop, keep=False)
        cls.failed = True
        try:
            cls.stack.start()
            cls.prepare()
            cls.began = time.time()
            cls.load = Load(cls.stack, cls.requests())
        except BaseException:
            cls.stack.stop(keep=True)
            raise
        cls.failed = False

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop(keep=cls.failed)

    def run(self, result=None):
        super().run(result)
        if result is not None and not result.wasSuccessful():
            type(self).failed = True

    @classmethod
    def prepare(cls):
        """Services that work, fail and balance, consumers, and a plugin that one node lacks."""
        admin, upstream = cls.stack.admin, cls.stack.upstream_url
        eventually("the control plane is ready", lambda: admin("GET", "/status"))
        host = upstream.removeprefix("http://")
        admin("POST", "/upstreams", {"name": "pool"})
        admin("POST", "/upstreams/pool/targets", {"target": host})
        admin("POST", "/upstreams", {"name": "lost"})
        admin("POST", "/upstreams/lost/targets", {"target": "gone.invalid:80"})
        for name, url in (
            ("lost", "http://lost/"),
            ("good", f"{upstream}/good"),
            ("bad", f"{upstream}/fail"),
            ("balanced", "http://pool/good"),
            ("guarded", f"{upstream}/good"),
        ):
            admin("POST", "/services", {"name": name, "url": url})
            admin("POST", f"/services/{name}/routes", {"name": name, "paths": [f"/{name}"]})
        for service in ("good", "bad"):
            admin("POST", f"/services/{service}/plugins", {"name": "key-auth"})
        for consumer in ("ann", "bob"):
            admin("POST", "/consumers", {"username": consumer})
            admin("POST", f"/consumers/{consumer}/key-auth", {"key": f"key-of-{consumer}"})
        for proxy in cls.stack.proxies:

            def serves(proxy=proxy):
                assert call("GET", f"{proxy}/balanced")[0] == 200

            eventually(f"{proxy} serves", serves)

        def scraped():
            up = cls.stack.instant('up{job=~"langur-.+"} == 1')
            assert len(up) == 3, up

        eventually("all nodes are scraped", scraped)
        plugin = {"name": "request-termination", "config": {"status_code": 418}}
        admin("POST", "/services/guarded/plugins", plugin)

    @staticmethod
    def requests():
        found = [("/balanced", {}), ("/guarded", {}), ("/nowhere", {}), ("/good", {})]
        for consumer in ("ann", "bob"):
            headers = {"apikey": f"key-of-{consumer}"}
            found += [("/good", headers), ("/bad", headers)]
        return found

    def choices(self, board):
        """What a person may have chosen: everything, or one value of each variable."""
        every, one = dict(BUILT_IN), dict(BUILT_IN)
        for name, variable in variables(board).items():
            query = substitute(variable["query"]["query"], every)
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
            self.assertIsNotNone(asked, query)
            match, label = asked.groups()

            # Something of everything: requests and errors of both sources.
            one[name] = {"service": "bad", "route": "bad", "consumer": "ann"}[name]

            def offered(match=match, label=label, chosen=one[name]):
                self.assertIn(chosen, self.stack.api(f"label/{label}/values", **{"match[]": match}))

            eventually(f"{name} can be chosen", offered)
            every[name] = variable["allValue"]
        return [every, one] if variables(board) else [every]

    def check(self, panel, target, chosen):
        """Fails unless the query returns what the panel can show."""
        expression = substitute(target["expr"], chosen)
        now = time.time()
        series = self.stack.instant(expression)
        found = values(series)
        assert found, f"{expression}: no value in {series}"
        if COUNTED.search(expression):
            assert max(found) > 0, f"{expression}: nothing counted in {series}"
        if MOVING.match(expression):
            over_time = self.stack.range(expression, self.began, now)
            moved = [one for one in over_time if max(values([one])) > min(values([one]))]
            assert moved, f"{expression}: always the same in {over_time}"
        labels = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        assert any(labels <= set(one["metric"]) for one in series), (labels, series)

    def test_1_every_query_of_every_dashboard_returns_what_the_load_makes(self):
        checked = 0
        for name, board in dashboards().items():
            for chosen in self.choices(board):
                for panel in board["panels"]:
                    for target in panel["targets"]:
                        what = f"{name}: {panel['title']}: {target['refId']}"
                        with self.subTest(what):
                            ask = lambda: self.check(panel, target, chosen)  # noqa: E731
                            eventually(what, ask, patience=30)
                            checked += 1
        self.assertGreater(checked, 80)

    def test_2_no_request_is_in_the_sums_twice(self):
        # The two ends, once nothing moves any more.
        self.load.stop()
        by_data_planes = 'sum(kong_http_requests_total{instance="%s"})' % self.stack.data_status[0]

        def agree():
            (node,) = self.stack.instant(
                'langur_node_info{instance="%s"}' % self.stack.data_status[0]
            )
            by_control_planes = (
                'sum(langur_fleet_http_requests_total{route!="",data_plane="%s"})'
                % node["metric"]["node_id"]
            )
            (mine,), (theirs,) = (
                values(self.stack.instant(each)) for each in (by_data_planes, by_control_planes)
            )
            assert mine == theirs > 0, (mine, theirs)

        eventually("both planes have counted the same", agree)

    def test_3_all_rules_are_evaluated_and_the_provoked_alerts_are_there(self):
        groups = self.stack.api("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertEqual({rule["name"] for rule in rules}, {rule["alert"] for rule in alerts()})
        for rule in rules:
            self.assertEqual(rule["health"], "ok", rule)
        self.wait_for_alert("LangurTelemetryDropped", {"firing"})
        self.wait_for_alert("LangurEntitiesQuarantined", {"pending", "firing"})
        # The name is looked up when the first request needs it.
        threading.Thread(target=call, args=["GET", f"{self.stack.proxies[0]}/lost"]).start()
        self.wait_for_alert(
            "LangurUpstreamUnhealthy", {"pending", "firing"}, target="gone.invalid:80"
        )
        # The load stopped before; however fast the tests were, these are enough for a rate.
        self.wait_for_alert(
            "LangurErrorRate", {"pending", "firing"}, meanwhile=self.fail_some, service="bad"
        )
        active = {alert["labels"]["alertname"] for alert in self.stack.api("alerts")["alerts"]}
        self.assertFalse(active & {"LangurNodeDown", "LangurDataPlaneDisconnected"}, active)

    def test_4_a_control_plane_that_is_gone_is_seen_from_both_sides(self):
        self.stack.kill("control-plane")
        self.wait_for_alert("LangurNodeDown", {"pending", "firing"}, job="langur-control-plane")
        self.wait_for_alert("LangurDataPlaneDisconnected", {"pending", "firing"})

    def fail_some(self):
        for _ in range(20):
            call("GET", f"{self.stack.proxies[0]}/bad", headers={"apikey": "key-of-ann"})

    def wait_for_alert(self, name, states, meanwhile=lambda: None, **labels):
        def there():
            meanwhile()
            found = [
                alert
                for alert in self.stack.api("alerts")["alerts"]
                if alert["labels"]["alertname"] == name
                and labels.items() <= alert["labels"].items()
            ]
            assert any(alert["state"] in states for alert in found), found

        eventually(f"{name} is one of {states}", there)


if __name__ == "__main__":
    unittest.main()
