"""decK's whole cycle against a real control plane, on both databases, with 5 000 entities of all kinds."""

import copy
import unittest

import deck
from configuration import PLUGINS, configuration
from control_plane import ControlPlane


class Cycle:
    """The story; the classes below say on which database. Each test begins with an empty gateway."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.node = ControlPlane(cls.database)
        cls.addClassCleanup(cls.node.stop, keep=False)
        cls.file = configuration(cls.node.folder)

    def setUp(self):
        self.admin = deck.Admin(self.node.url)
        self.addCleanup(self.admin.close)
        self.addCleanup(deck.reset, self.admin)

    def sync(self, file):
        """Syncs, and looks again: nothing is left to do. What was done."""
        changes = deck.diff(self.admin, file)
        deck.sync(self.admin, changes)
        again = deck.diff(self.admin, file)
        self.assertEqual(again.differences, [])
        self.assertEqual(again.counts(), (0, 0, 0))
        return changes.counts()

    def test_all_of_a_file_is_made_changed_and_removed(self):
        self.assertGreaterEqual(deck.ping(self.admin), (3, 9, 0))
        count = sum(map(len, self.file.values()))
        self.assertGreaterEqual(count, 5_000)
        self.assertEqual(set(self.file), {kind.name for kind in deck.KINDS})

        self.assertEqual(self.sync(self.file), (count, 0, 0))
        state = deck.dump(self.admin)
        self.assertEqual(
            {kind: len(found) for kind, found in state.items()},
            {kind: len(found) for kind, found in self.file.items()},
        )
        # Entities with both tags. Below a parent tags select nothing, as with Kong.
        tagged = deck.dump(self.admin, tags=("a", "b"))
        self.assertEqual(len(tagged.pop("targets")), len(self.file["targets"]))
        for kind, found in tagged.items():
            both = [one for one in self.file[kind] if {"a", "b"} <= set(one.get("tags", ()))]
            self.assertEqual(len(found), len(both), kind)

        changed, expected = self.other(self.file)
        self.assertEqual(self.sync(changed), expected)
        # The ids of what was changed stay.
        after = deck.dump(self.admin)
        for kind in ("services", "snis"):
            before = {one["name"]: one["id"] for one in state[kind]}
            kept = {one["name"]: one["id"] for one in after[kind] if one["name"] in before}
            self.assertEqual(kept, {name: before[name] for name in kept})

        deck.reset(self.admin)
        empty = deck.dump(self.admin)
        self.assertEqual({kind: found for kind, found in empty.items() if found}, {})

    def test_every_entity_is_valid_before_it_is_made(self):
        small = configuration(self.node.folder, scale=20)
        changes = deck.diff(self.admin, small)
        self.assertEqual(deck.validate(self.admin, changes), sum(map(len, small.values())))
        self.assertEqual({kind: one for kind, one in deck.dump(self.admin).items() if one}, {})

    def test_every_plugin_is_what_its_schema_says(self):
        """Each with nothing but what it must be told, then with a change of one of its fields."""
        file = {"plugins": [{"name": name, "config": config} for name, config in PLUGINS.items()]}
        available = self.admin.request("GET", "/plugins/enabled")[1]["enabled_plugins"]
        self.assertEqual(sorted(PLUGINS), sorted(available))
        self.assertEqual(self.sync(file), (len(PLUGINS), 0, 0))
        for plugin in file["plugins"]:
            plugin.update(enabled=False, instance_name=f"my-{plugin['name']}")
        self.assertEqual(self.sync(file), (0, len(PLUGINS), 0))

    def test_a_file_that_breaks_a_rule_is_refused(self):
        wrong = {"services": [{"name": "s", "host": "h", "protocol": "none"}]}
        changes = deck.diff(self.admin, wrong)
        with self.assertRaisesRegex(deck.Refused, "schema violation \\(protocol: expected one of"):
            deck.sync(self.admin, changes)

    def other(self, file):
        """The file with every third entity without children gone, changes of many, and some new ones; and
        how many entities must be created, updated and deleted for it."""
        changed, deletes = copy.deepcopy(file), 0
        for kind in ("routes", "key-auths", "acls", "targets", "snis", "keys", "vaults", "jwts"):
            # Plugins hang on the first ones.
            keep = 40 if kind == "routes" else 0
            kept = [one for n, one in enumerate(changed[kind]) if n < keep or n % 3]
            deletes += len(changed[kind]) - len(kept)
            changed[kind] = kept
        updates = 0
        edits = {
            # Together with names, of which some go and some move to another certificate.
            "certificates": {"tags": ["changed"]},
            "snis": {"certificate": changed["certificates"][1]["cert"]},
            "services": {"retries": 9, "read_timeout": 1000},
            "routes": {"https_redirect_status_code": 301},
            "consumers": {"tags": ["changed"]},
            "upstreams": {"slots": 100, "healthchecks": {"active": {"timeout": 3}}},
            "targets": {"weight": 7_000},
            "key-auths": {"tags": ["changed"]},
            "basic-auths": {"tags": []},
            "hmac-auths": {"secret": "other"},
            "oauth2": {"redirect_uris": ["https://b.test/", "https://a.test/"]},
            "acls": {"tags": ["changed"]},
            "vaults": {"config": {"prefix": "OTHER_"}},
            "key-sets": {"tags": ["changed"]},
            "plugins": {"enabled": False},
        }
        for kind, edit in edits.items():
            for one in changed[kind][::2]:
                before = dict(one)
                one.update(copy.deepcopy(edit))
                updates += one != before
        new = [{"name": f"new-{n}", "host": "new.test"} for n in range(10)]
        changed["services"] += new
        changed["routes"] += [
            {"name": one["name"], "service": one["name"], "paths": [f"/{one['name']}"]} for one in new
        ]
        return changed, (20, updates, deletes)


class OnSqlite(Cycle, unittest.TestCase):
    database = "sqlite"


class OnPostgres(Cycle, unittest.TestCase):
    database = "postgres"


if __name__ == "__main__":
    unittest.main()
