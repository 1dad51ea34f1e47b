"""What moves each query of the dashboards, and whether it has moved."""

import math
import re
import time

from files import substitute

# What moves a query's series, by what the query asks for; the first that fits counts. Either one stage
# of the story, in which all of them change, or several, each with the label values of those that do.
MOVED_BY = (
    (r"^sum\(up\{", "gone"),
    (r"^langur_node_info$", "gone"),
    (r"cluster_cert_expiry", "renewed"),
    (r"kong_datastore_reachable", "database gone"),
    (r"langur_config_writes_waiting", "database locked"),
    (
        r"langur_config_writes_failed_total",
        {"load": {"refused"}, "database locked": {"busy"}, "database gone": {"database"}},
    ),
    (
        r"sum by \(state\) \(langur_sessions",
        {
            "cut": {"live"},
            "unacknowledged": {"syncing"},
            "silent": {"greeting"},
            "restored": {"ahead"},
        },
    ),
    (r"langur_sessions", "cut"),
    (r"langur_data_plane_connected|kong_control_plane_connected", "cut"),
    (r"langur_data_plane_revision\) == bool|^clamp_min\(", "cut"),
    (r"langur_telemetry_records_(held|dropped_total)", "cut"),
    (r"langur_fleet_records_dropped_total", "healed"),
    (
        r"langur_fleet_batches_total",
        {"load": {"counted"}, "unanswered": {"already_counted"}, "database gone": {"failed"}},
    ),
    (r"\b(rate|increase)\(", "load"),
    (r"langur_(config_revision|revision_in_effect|data_plane_revision|journal_revisions)", "load"),
    (r"(kong_data_plane|langur_control_plane)_last_seen", "load"),
    (r"langur_quarantined_entities|kong_upstream_target_health", "load"),
    (r"kong_nginx_connections_total|process_(resident_memory_bytes|open_fds)", "load"),
)
# Series whose change is to be there no more.
VANISHING = re.compile(r"^langur_node_info$|kong_upstream_target_health")
# Label values of series that cannot be made to move from outside, and why.
NEVER = {
    "closing": "a session that closes reports its end at once",
    "rejecting": "only a data plane with a fault rejects a whole configuration",
    "refused": "only a data plane with a fault sends records that cannot be read",
}


def stages_of(expression):
    """The label values of the series that move, by stage; `None` for all. Fails when nobody says."""
    for pattern, moved in MOVED_BY:
        if re.search(pattern, expression):
            return {moved: None} if isinstance(moved, str) else moved
    raise AssertionError(f"{expression}: nobody says what moves it")


class Query:
    """One query of a panel, as somebody has chosen its variables."""

    def __init__(self, what, target, chosen, began):
        self.what = what
        # What changes because time passes does not move.
        text = substitute(target["expr"], chosen).replace("time()", f"{began:.0f}")
        self.expression = text
        self.labels = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        self.stages = stages_of(text)
        self.before = {}
        self.seen, self.moved = set(), set()

    def ask(self, stack):
        """Finite values by labels."""
        found = {}
        for one in stack.instant(self.expression):
            if math.isfinite(value := float(one["value"][1])):
                found[frozenset(one["metric"].items())] = value
        return found

    def look(self, stack, stage):
        """Notes what has moved since `before`, and says what should have and has not."""
        now = self.ask(stack)
        moved = {key for key, value in now.items() if self.before.get(key) != value}
        if VANISHING.search(self.expression):
            moved |= self.before.keys() - now.keys()
        self.seen |= now.keys() | self.before.keys()
        self.moved |= moved
        named = self.stages[stage]
        if named is None:
            return self.still()
        missing = named - {value for key in moved for _, value in key}
        return [f"{self.what}: {sorted(missing)} do not move"] if missing else []

    def still(self):
        """Series that have never moved, without those that cannot."""
        wrong = [] if self.seen else [f"{self.what}: {self.expression} has no value"]
        for key in self.seen:
            labels = dict(key)
            if not self.labels <= labels.keys():
                wrong.append(f"{self.what}: the legend names {self.labels}, {labels} has not")
            if key not in self.moved and not NEVER.keys() & set(labels.values()):
                wrong.append(f"{self.what}: {labels} does not move")
        return wrong


class Moves:
    """All queries through all stages."""

    def __init__(self, stack, queries):
        self.stack, self.queries = stack, queries
        self.done = set()

    def of(self, stage):
        found = [query for query in self.queries if stage in query.stages]
        assert found, f"no query moves in {stage!r}: remove the stage"
        return found

    def before(self, *stages):
        for stage in stages:
            for query in self.of(stage):
                query.before = query.ask(self.stack)

    def after(self, stage, patience, meanwhile=lambda: None):
        """Waits until all that a stage moves has moved."""
        waiting, deadline = self.of(stage), time.monotonic() + patience
        while True:
            meanwhile()
            wrong = {query: said for query in waiting if (said := query.look(self.stack, stage))}
            waiting = list(wrong)
            if not waiting:
                break
            self.stack.expect_all_run(stage)
            if time.monotonic() > deadline:
                lines = [line for said in wrong.values() for line in said]
                raise AssertionError(f"{stage}: " + "\n".join(lines))
            time.sleep(0.2)
        self.done.add(stage)

    def check_all(self):
        """Every stage was, and every series of every query has moved."""
        named = {stage for query in self.queries for stage in query.stages}
        assert named == self.done, f"stages that were not: {named - self.done}"
        still = [line for query in self.queries for line in query.still()]
        assert not still, "\n".join(still)
