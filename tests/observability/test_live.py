"""The dashboards and the alerts against a real Prometheus that scrapes a real cluster, as one story
in order. Every series that a query of a dashboard returns is made to move: by load, by links that are
cut or lose what passes, by a database that is locked, gone and restored, by nodes that end and come back
with another certificate. `moves.py` says which stage moves what."""

import atexit
import re
import signal
import threading
import time
import unittest

from files import alerts, dashboards, substitute, variables
from load import Held, Load, SilentDataPlane, Unanswered
from moves import Moves, Query
from stack import Locked, Stack

from nodes import PATIENCE, call, eventually

# As Grafana computes it: four scrapes, here those of the control plane.
BUILT_IN = {"__rate_interval": "12s", "__range": "30s", "__interval": "1s"}
# What a person may choose for a variable, besides everything. There are requests and errors of both sources.
CHOICE = {"service": "bad", "route": "bad", "consumer": "ann"}
# More than the store's queue and its transactions hold.
FLOOD = 600


def choices(board):
    """Everything, or one value of each variable."""
    found = variables(board)
    every = {**BUILT_IN, **{name: variable["allValue"] for name, variable in found.items()}}
    return [every, {**every, **{name: CHOICE[name] for name in found}}] if found else [every]


def queries(began):
    return [
        Query(f"{name}: {panel['title']}: {target['refId']}", target, chosen, began)
        for name, board in dashboards().items()
        for chosen in choices(board)
        for panel in board["panels"]
        for target in panel["targets"]
    ]


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
        except BaseException:
            cls.stack.stop(keep=True)
            raise
        cls.failed = False
        cls.moves = Moves(cls.stack, queries(time.time()))

    @classmethod
    def tearDownClass(cls):
        cls.stack.stop(keep=cls.failed)

    def run(self, result=None):
        begun = time.monotonic()
        super().run(result)
        print(f"{self._testMethodName}: {time.monotonic() - begun:.0f} s", flush=True)
        if result is not None and not result.wasSuccessful():
            type(self).failed = True
            # What comes after builds on this.
            result.stop()

    @classmethod
    def prepare(cls):
        """Services that work, fail and balance, and consumers."""
        admin, upstream = cls.stack.admin, cls.stack.upstream_url
        eventually("the control plane is ready", lambda: admin("GET", "/status"))
        host = upstream.removeprefix("http://")
        admin("POST", "/upstreams", {"name": "pool"})
        admin("POST", "/upstreams/pool/targets", {"target": host})
        admin("POST", "/upstreams", {"name": "lost"})
        for name, url in (
            ("lost", "http://lost/"),
            ("good", f"{upstream}/good"),
            ("bad", f"{upstream}/fail"),
            ("slow", f"{upstream}/slow"),
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

    def at_rest(self):
        """All are up and in sync, and nothing has moved for as long as a rate looks back."""

        def rests():
            asked = self.stack.instant
            assert len(asked('up{job=~"langur-.+"} == 1')) == 3
            assert not asked("langur_data_plane_revision != on () group_left () langur_config_revision")
            live = asked('langur_sessions{state="live"}')
            assert [one["value"][1] for one in live] == ["2"], live
            for counter in (
                "langur_config_writes_total",
                "langur_telemetry_records_sent_total",
                "langur_telemetry_records_dropped_total",
                "langur_fleet_batches_total",
                'kong_nginx_requests_total{job="langur-data-plane"}',
            ):
                moving = asked(f"rate({counter}[{BUILT_IN['__rate_interval']}]) > 0")
                assert not moving, moving

        eventually("nothing moves", rests)

    @staticmethod
    def requests():
        found = [("/balanced", {}), ("/guarded", {}), ("/nowhere", {}), ("/good", {})]
        for consumer in ("ann", "bob"):
            headers = {"apikey": f"key-of-{consumer}"}
            found += [("/good", headers), ("/bad", headers)]
        return found

    def start_load(self):
        load = Load(self.stack, self.requests())
        self.addCleanup(load.stopping.set)
        return load

    def test_01_load_moves_what_counts(self):
        self.at_rest()
        self.moves.before("load")
        admin = self.stack.admin
        # Both data planes lack it.
        plugin = {"name": "request-termination", "config": {"status_code": 418}}
        admin("POST", "/services/guarded/plugins", plugin)
        host = self.stack.upstream_url.removeprefix("http://")
        admin("POST", "/upstreams/pool/targets", {"target": host.replace("127.0.0.1", "localhost")})
        admin("DELETE", f"/upstreams/pool/targets/{host}")
        admin("POST", "/upstreams/lost/targets", {"target": "gone.invalid:80"})
        # The name is looked up when the first request needs it.
        for proxy in self.stack.proxies:
            threading.Thread(target=call, args=["GET", f"{proxy}/lost"], daemon=True).start()
        held, load = Held(self.stack), self.start_load()
        slow = Load(self.stack, [("/slow", {})], writes=False)
        self.addCleanup(slow.stopping.set)
        self.moves.after("load", PATIENCE)
        for board in dashboards().values():
            for name, variable in variables(board).items():
                self.offers(name, variable)
        held.close()
        load.stop()
        slow.stop()

    def offers(self, name, variable):
        every = {other: ".*" for other in CHOICE}
        query = substitute(variable["query"]["query"], every)
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        self.assertIsNotNone(asked, query)
        match, label = asked.groups()
        self.assertIn(CHOICE[name], self.stack.api(f"label/{label}/values", **{"match[]": match}))

    def test_02_no_request_is_in_the_sums_twice(self):
        # The two ends, once nothing moves any more.
        self.at_rest()
        by_data_planes = 'sum(kong_http_requests_total{instance="%s"})' % self.stack.data_status[0]
        (node,) = self.stack.instant('langur_node_info{instance="%s"}' % self.stack.data_status[0])
        by_control_planes = (
            'sum(langur_fleet_http_requests_total{route!="",data_plane="%s"})'
            % node["metric"]["node_id"]
        )

        def agree():
            (mine,), (theirs,) = (self.values(each) for each in (by_data_planes, by_control_planes))
            assert mine == theirs > 0, (mine, theirs)

        eventually("both planes have counted the same", agree)

    def values(self, expression):
        return [float(one["value"][1]) for one in self.stack.instant(expression)]

    def test_03_links_that_are_cut_and_healed(self):
        self.moves.before("cut")
        links = [self.stack.relays[name] for name in ("cluster", "telemetry")]
        for link in links:
            link.cut()
        load = self.start_load()
        self.moves.after("cut", PATIENCE)
        load.stop()
        self.wait_until_zero("langur_fleet_records_dropped_total")
        self.moves.before("healed")
        for link in links:
            link.heal()
        self.moves.after("healed", PATIENCE)

    def wait_until_zero(self, counter):
        def zero():
            assert not self.stack.instant(f"rate({counter}[{BUILT_IN['__rate_interval']}]) > 0")

        eventually(f"{counter} rests", zero)

    def test_04_all_rules_are_evaluated_and_the_provoked_alerts_are_there(self):
        groups = self.stack.api("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertEqual({rule["name"] for rule in rules}, {rule["alert"] for rule in alerts()})
        for rule in rules:
            self.assertEqual(rule["health"], "ok", rule)
        self.wait_for_alert("LangurTelemetryDropped", {"firing"})
        self.wait_for_alert("LangurEntitiesQuarantined", {"pending", "firing"})
        self.wait_for_alert(
            "LangurUpstreamUnhealthy", {"pending", "firing"}, target="gone.invalid:80"
        )
        # The load stopped before; however fast the tests were, these are enough for a rate.
        self.wait_for_alert(
            "LangurErrorRate", {"pending", "firing"}, meanwhile=self.fail_some, service="bad"
        )

        def all_are_up():
            active = {alert["labels"]["alertname"] for alert in self.stack.api("alerts")["alerts"]}
            self.assertNotIn("LangurNodeDown", active)

        # A scrape that took longer than a second looks the same for as long.
        eventually("no node is down", all_are_up)

    def test_05_what_is_said_and_not_heard(self):
        self.at_rest()
        self.moves.before("unacknowledged", "silent", "unanswered")
        cluster, telemetry = (self.stack.relays[name] for name in ("cluster", "telemetry"))
        # Changes arrive and nobody acknowledges them.
        cluster.lose("up")
        self.stack.admin("POST", "/consumers", {"username": "unheard"})
        self.moves.after("unacknowledged", PATIENCE)
        cluster.heal()
        # A link is open and nobody says hello, until the control plane has enough.
        silent = SilentDataPlane(self.stack.folder, cluster.target)
        self.addCleanup(silent.close)
        self.moves.after("silent", PATIENCE, meanwhile=silent.open_again)
        # Batches arrive and their answers do not; on the next link they come again.
        telemetry.lose("down")
        counted = 'sum(langur_fleet_batches_total{result="counted"})'
        (before,) = self.values(counted)
        self.serve_some()

        def arrived():
            assert self.values(counted)[0] >= before + 2

        eventually("a batch of each data plane is counted", arrived)
        telemetry.heal()
        self.moves.after("unanswered", PATIENCE)

    def serve_some(self):
        for proxy in self.stack.proxies:
            self.assertEqual(call("GET", f"{proxy}/balanced")[0], 200)

    def test_06_a_database_that_is_locked_and_gone(self):
        self.at_rest()
        self.moves.before("database locked", "database gone")
        locked = Locked(self.stack.database, "consumers")
        self.addCleanup(locked.release)
        flood = Unanswered(self.stack, FLOOD)
        self.moves.after("database locked", PATIENCE)
        locked.release()
        self.assertIn(503, flood.statuses())
        database = self.stack.relays["database"]
        database.cut()
        # Nobody is connected to it: this is what is restored later.
        type(self).older = self.stack.keep_database()

        def try_it():
            self.serve_some()
            self.stack.admin("POST", "/consumers", {"username": "lost"}, expect=(500, 503))

        self.moves.after("database gone", PATIENCE, meanwhile=try_it)
        database.heal()
        eventually("writes are taken", lambda: self.stack.admin("GET", "/consumers/ann"))

    def test_07_a_control_plane_that_is_gone_and_comes_back_with_an_older_database(self):
        # What the older database lacks.
        self.stack.admin("POST", "/consumers", {"username": "after"})
        self.at_rest()
        self.moves.before("gone", "restored", "renewed")
        self.stack.kill("control-plane")
        self.wait_for_alert("LangurNodeDown", {"pending", "firing"}, job="langur-control-plane")
        self.wait_for_alert("LangurDataPlaneDisconnected", {"pending", "firing"})
        self.stack.restart("control-plane", pg_database=self.older)
        self.moves.after("restored", PATIENCE)

    def test_08_all_are_gone_and_come_back_with_another_certificate(self):
        nodes = ("control-plane", "data-plane-1", "data-plane-2")
        for name in nodes:
            self.stack.kill(name)
        self.moves.after("gone", PATIENCE)
        self.stack.renew_certificate()
        for name in nodes:
            self.stack.restart(name)
        self.moves.after("renewed", PATIENCE)
        self.at_rest()

    def test_09_every_series_of_every_query_has_moved(self):
        self.assertGreater(len(self.moves.queries), 80)
        self.moves.check_all()

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
