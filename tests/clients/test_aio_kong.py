"""aio-kong, as released, against a real control plane: every call that it makes of the Admin API, its
declarative apply, and its command line."""

import asyncio
import json
import os
import pathlib
import sys
import unittest
import uuid

import yaml
from kong.client import Kong, KongResponseError

from control_plane import ControlPlane

CORRELATION = {"header_name": "X-Request", "generator": "uuid#counter", "echo_downstream": True}
RATE = {"minute": 5, "policy": "local"}


class Calls:
    """The calls; the classes below say on which database."""

    @classmethod
    def setUpClass(cls):
        cls.node = ControlPlane(cls.database)
        cls.addClassCleanup(cls.node.stop, keep=False)

    async def asyncSetUp(self):
        self.cli = await self.enterAsyncContext(Kong(url=self.node.url))
        await self.cli.delete_all()
        for component in ("services", "routes", "consumers", "plugins", "certificates", "snis"):
            self.assertEqual(await getattr(self.cli, component).get_full_list(), [], component)

    async def refused(self, status, call):
        """What is refused with this status; the error's document."""
        with self.assertRaises(KongResponseError) as caught:
            await call
        self.assertEqual(caught.exception.status, status, str(caught.exception))
        return caught.exception.message

    async def service(self, name="example"):
        return await self.cli.services.create(name=name, host="example.test", port=8080)

    # --- services and routes

    async def test_a_service_is_made_read_changed_and_removed(self):
        service = await self.service()
        self.assertEqual(
            (service.name, service.host, service.protocol), ("example", "example.test", "http")
        )
        uuid.UUID(service.id)
        for key in (service.id, uuid.UUID(service.id), "example"):
            self.assertEqual((await self.cli.services.get(key)).data, service.data)
            self.assertTrue(await self.cli.services.has(key))
        changed = await self.cli.services.update("example", host="other.test", retries=2)
        self.assertEqual((changed.id, changed.host, changed["retries"]), (service.id, "other.test", 2))
        self.assertTrue(await self.cli.services.delete("example"))
        self.assertFalse(await self.cli.services.has("example"))
        await self.refused(404, self.cli.services.get("example"))
        await self.refused(404, service.routes.get_list())

    async def test_a_wrong_service_is_refused_with_its_fields(self):
        error = await self.refused(400, self.cli.services.create(name="x", config="y", host=None))
        self.assertEqual(
            error["fields"], {"config": "unknown field", "host": "required field missing"}
        )
        await self.service()
        error = await self.refused(409, self.cli.services.create(name="example", host="b.test"))
        self.assertEqual(error["fields"], {"name": "example"})

    async def test_routes_belong_to_a_service(self):
        service = await self.service()
        routes = [
            await service.routes.create(name=name, hosts=["example.test"], paths=[f"/{name}"])
            for name in ("one", "two")
        ]
        for route in routes:
            self.assertEqual(route["service"], {"id": service.id})
            self.assertEqual((await self.cli.routes.get(route.name)).data, route.data)
        listed = await service.routes.get_full_list()
        self.assertEqual({route.id for route in listed}, {route.id for route in routes})
        changed = await self.cli.routes.update(routes[0].id, methods=["GET", "POST"])
        self.assertEqual(changed["methods"], ["GET", "POST"])
        # Its own delete takes the route's plugins first.
        await routes[0].plugins.create(name="cors")
        self.assertTrue(await service.routes.delete(routes[0].id))
        self.assertEqual([route.name for route in await service.routes.get_list()], ["two"])
        await self.refused(400, service.routes.create(name="nothing to match"))

    async def test_a_service_of_grpc(self):
        service = await self.cli.services.create(name="g", host="g.test", port=50051, protocol="grpc")
        route = await service.routes.create(protocols=["grpc", "grpcs"], hosts=["g.test"])
        self.assertEqual((route["protocols"], route["strip_path"]), (["grpc", "grpcs"], False))

    async def test_a_service_goes_with_what_hangs_on_it(self):
        service = await self.service()
        route = await service.routes.create(paths=["/x"])
        await route.plugins.create(name="cors")
        await service.plugins.create(name="rate-limiting", config=RATE)
        await self.refused(400, self.cli.execute(service.url, "delete"))
        self.assertTrue(await self.cli.services.delete(service.id))
        self.assertEqual(await self.cli.plugins.get_full_list(), [])

    # --- lists

    async def test_a_list_is_read_page_by_page(self):
        names = {f"c{n:03}" for n in range(25)}
        for name in names:
            await self.cli.consumers.create(username=name, tags=["many"])
        paged = [c.username async for c in self.cli.consumers.paginate(size=4)]
        self.assertEqual((len(paged), set(paged)), (25, names))
        # An argument that the Admin API does not know changes nothing.
        self.assertEqual(len(await self.cli.consumers.get_list(limit=1)), 25)
        self.assertEqual(len(await self.cli.consumers.get_list(tags="many", size=7)), 7)
        self.assertEqual(await self.cli.consumers.get_full_list(tags="none"), [])
        self.assertEqual(await self.cli.consumers.delete_all(), 25)

    # --- consumers and credentials

    async def test_a_consumer_keeps_the_id_that_it_is_given(self):
        own = str(uuid.uuid4())
        consumer = await self.cli.consumers.create(username="ann", id=own, custom_id="a-1")
        self.assertEqual((consumer.id, consumer.username, consumer["custom_id"]), (own, "ann", "a-1"))
        changed = await self.cli.consumers.update("ann", username="anna")
        self.assertEqual((changed.id, changed.username), (own, "anna"))
        await self.refused(404, self.cli.consumers.get("ann"))
        await self.refused(409, self.cli.consumers.create(username="anna"))

    async def test_groups_of_a_consumer(self):
        ann = await self.cli.consumers.create(username="ann")
        group = await ann.acls.create(group="staff")
        self.assertEqual((group["group"], group["consumer"]), ("staff", {"id": ann.id}))
        self.assertEqual([acl.id for acl in await self.cli.acls.get_full_list()], [group.id])
        await self.refused(409, ann.acls.create(group="staff"))
        # By its own path, not below the consumer.
        self.assertTrue(await self.cli.acls.delete(group.id))
        self.assertEqual(await ann.acls.get_list(), [])

    async def test_jwt_secrets_have_keys_of_their_own(self):
        ann = await self.cli.consumers.create(username="ann")
        made = await ann.jwts.create()
        self.assertEqual((len(made["key"]), len(made["secret"]), made["algorithm"]), (32, 32, "HS256"))
        got = await ann.jwts.get_or_create()
        self.assertEqual(got.id, made.id)
        self.assertTrue(await ann.jwts.delete(made.id))
        await self.refused(404, ann.jwts.delete(made.id))
        self.assertNotEqual((await ann.jwts.get_or_create()).id, made.id)

    async def test_key_auth_by_json_and_by_form(self):
        ann = await self.cli.consumers.create(username="ann")
        self.assertEqual(len((await ann.keyauths.create())["key"]), 32)
        made = await ann.keyauths.create_credentials(data={"key": "first"})
        self.assertEqual(made["key"], "first")
        changed = await ann.keyauths.update_credentials(made.id, data={"key": "second"})
        self.assertEqual((changed.id, changed["key"]), (made.id, "second"))
        # Found by its key, so changed and not made again.
        same = await ann.keyauths.create_or_update_credentials({"key": "second"})
        self.assertEqual(same.id, made.id)
        self.assertEqual(len(await ann.keyauths.get_list()), 2)

    async def test_basic_auth_by_form(self):
        ann = await self.cli.consumers.create(username="ann")
        made = await ann.basicauths.create_or_update_credentials({"username": "u", "password": "p&=é"})
        self.assertEqual((made["username"], made["consumer"]), ("u", {"id": ann.id}))
        self.assertNotIn("p&=é", made["password"])
        again = await ann.basicauths.create_or_update_credentials({"username": "u", "password": "q"})
        self.assertEqual(again.id, made.id)
        self.assertNotEqual(again["password"], made["password"])

    # --- plugins

    async def test_plugins_of_a_service_a_route_and_everything(self):
        service = await self.service()
        route = await service.routes.create(paths=["/x"])
        await self.cli.consumers.create(username="nobody")
        for owner, of in ((self.cli, {}), (service, {"service": service.id}), (route, {"route": route.id})):
            for name, config in (
                ("jwt", {"claims_to_verify": ["exp"]}),
                ("rate-limiting", RATE),
                ("cors", {"origins": ["*"]}),
                ("correlation-id", CORRELATION),
                ("request-termination", {"status_code": 503}),
                # The client puts the consumer's id in the place of the name.
                ("key-auth", {"anonymous": "nobody"}),
                ("acl", {"allow": ["staff"]}),
                ("basic-auth", {}),
                ("hmac-auth", {}),
            ):
                made = await owner.plugins.create(name=name, config=config)
                for kind in ("service", "route", "consumer"):
                    self.assertEqual(made[kind], {"id": of[kind]} if kind in of else None)
                for key in config.keys() - {"anonymous"}:
                    self.assertEqual(made["config"][key], config[key])
            if of:
                self.assertEqual(len(await owner.plugins.get_full_list()), 9)
        self.assertEqual(len(await self.cli.plugins.get_full_list()), 27)

    async def test_a_plugin_is_changed_and_refused(self):
        service = await self.service()
        made = await service.plugins.create(name="rate-limiting", config=RATE)
        changed = await self.cli.plugins.update(made.id, name="rate-limiting", config={"minute": 9})
        self.assertEqual((changed["config"]["minute"], changed["config"]["policy"]), (9, "local"))
        await self.refused(409, service.plugins.create(name="rate-limiting", config=RATE))
        error = await self.refused(400, service.plugins.create(name="cors", config={"garbage": 1}))
        self.assertEqual(error["fields"], {"config": {"garbage": "unknown field"}})
        self.assertIn("name", (await self.refused(400, self.cli.plugins.create(name="no-such")))["fields"])

    async def test_a_plugin_for_a_consumer_known_by_name_or_id(self):
        ann = await self.cli.consumers.create(username="ann")
        bob = await self.cli.consumers.create(username="bob")
        route = await (await self.service()).routes.create(paths=["/x"])
        for given, consumer in (({"username": "ann"}, ann), ({"id": "bob"}, bob)):
            made = await route.plugins.create(name="request-termination", consumer=given)
            self.assertEqual(made["consumer"], {"id": consumer.id})
            self.assertEqual([one.id for one in await consumer.plugins.get_list()], [made.id])
        await self.refused(
            400, route.plugins.create(name="request-termination", consumer={"username": "eve"})
        )

    # --- certificates

    def pair(self):
        return {
            name: (self.node.folder / f"cluster.{file}").read_text()
            for name, file in (("cert", "crt"), ("key", "key"))
        }

    async def test_names_of_a_certificate(self):
        made = await self.cli.certificates.create(**self.pair())
        self.assertEqual(made["snis"], [])
        sni = await made.snis.create(name="a.example.test")
        self.assertEqual(
            set(sni), {"id", "name", "certificate", "tags", "created_at", "updated_at"}
        )
        self.assertEqual(sni["certificate"], {"id": made.id})
        self.assertEqual((await self.cli.certificates.get(made.id))["snis"], ["a.example.test"])
        changed = await self.cli.snis.update("a.example.test", name="b.example.test")
        self.assertEqual(changed.id, sni.id)
        self.assertEqual([one.name for one in await made.snis.get_list()], ["b.example.test"])
        self.assertTrue(await self.cli.snis.delete("b.example.test"))
        self.assertTrue(await self.cli.certificates.delete(made.id))
        self.assertEqual(await self.cli.certificates.get_list(), [])

    # --- the declarative apply

    async def test_a_document_is_applied_and_applied_again(self):
        await self.cli.plugins.create(name="cors")
        await self.apply(DOCUMENT, clear=True)
        await self.applied()
        first = [service.data for service in await self.cli.services.get_full_list()]
        await self.apply(DOCUMENT, clear=True)
        await self.applied()
        again = [service.data for service in await self.cli.services.get_full_list()]
        self.assertEqual([one["id"] for one in again], [one["id"] for one in first])
        # A smaller one: routes, plugins and groups that are not in it go.
        await self.apply(SMALLER, clear=True)
        self.assertEqual([one.name for one in await self.cli.services.get_list()], ["shop"])
        self.assertEqual([one.name for one in await self.cli.routes.get_list()], ["list"])
        self.assertEqual([one["name"] for one in await self.cli.plugins.get_list()], ["acl"])
        self.assertEqual(await self.cli.acls.get_list(), [])

    async def test_the_command_line_applies_and_lists(self):
        file = self.node.folder / "kongfig.yml"
        file.write_text(yaml.safe_dump(DOCUMENT))
        await self.kongfig("yaml", "--clear", str(file))
        await self.applied()
        services = json.loads(await self.kongfig("services", "--json"))
        self.assertEqual({one["name"] for one in services}, {"shop", "old"})
        routes = json.loads(await self.kongfig("routes", "shop", "--json"))
        self.assertEqual({one["name"] for one in routes}, {"list", "order"})
        consumers = json.loads(await self.kongfig("consumers", "--json"))
        self.assertEqual({one["username"] for one in consumers}, {"ann", "bob"})
        key = json.loads(await self.kongfig("key-auth", "ann"))
        self.assertEqual(key["key"], "key-of-ann")
        await self.kongfig("services", "--delete", "old")
        self.assertFalse(await self.cli.services.has("old"))

    async def apply(self, document, clear):
        # It changes what it is given.
        return await self.cli.apply_json(json.loads(json.dumps(document)), clear=clear)

    async def applied(self):
        """DOCUMENT is there, the whole of it and nothing else."""
        shop = await self.cli.services.get("shop")
        self.assertEqual((shop.host, shop["port"]), ("shop.test", 8000))
        routes = {route.name: route for route in await shop.routes.get_full_list()}
        self.assertEqual(set(routes), {"list", "order"})
        self.assertEqual(routes["order"]["methods"], ["POST"])
        self.assertEqual(
            [plugin["name"] for plugin in await routes["order"].plugins.get_list()], ["key-auth"]
        )
        self.assertEqual([p["name"] for p in await shop.plugins.get_list()], ["correlation-id"])
        names = sorted(plugin["name"] for plugin in await self.cli.plugins.get_full_list())
        self.assertEqual(names, ["correlation-id", "key-auth", "rate-limiting"])
        ann = await self.cli.consumers.get("ann")
        self.assertEqual({acl["group"] for acl in await ann.acls.get_list()}, {"staff", "admins"})
        self.assertEqual([key["key"] for key in await ann.keyauths.get_list()], ["key-of-ann"])
        bob = await self.cli.consumers.get("bob")
        self.assertEqual([one["username"] for one in await bob.basicauths.get_list()], ["bob"])

    async def kongfig(self, command, *arguments):
        """What aio-kong's own command prints."""
        program = pathlib.Path(sys.executable).with_name("kongfig")
        process = await asyncio.create_subprocess_exec(
            program, command, *arguments, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={**os.environ, "KONG_ADMIN_URL": self.node.url},
        )
        out, err = await process.communicate()
        self.assertEqual(process.returncode, 0, f"kongfig {command}: {out} {err}")
        return out


DOCUMENT = {
    "services": [
        {
            "name": "shop",
            "host": "shop.test",
            "port": 8000,
            "routes": [
                {"name": "list", "paths": "/list", "methods": "GET"},
                {
                    "name": "order",
                    "hosts": ["shop.test"],
                    "paths": ["/order"],
                    "methods": ["POST"],
                    "plugins": [{"name": "key-auth"}],
                },
            ],
            "plugins": [{"name": "correlation-id", "config": CORRELATION}],
        },
        {"name": "old", "host": "old.test"},
        {"name": "never-was", "ensure": "absent"},
    ],
    "plugins": [{"name": "rate-limiting", "config": RATE}],
    "consumers": [
        {
            "username": "ann",
            "groups": ["staff", "admins"],
            "auths": [{"type": "key-auth", "config": {"key": "key-of-ann"}}],
        },
        {
            "username": "bob",
            "auths": [{"type": "basic-auth", "config": {"username": "bob", "password": "b"}}],
        },
    ],
}
SMALLER = {
    "services": [
        {"name": "shop", "host": "shop.test", "routes": [{"name": "list", "paths": ["/list"]}]},
        {"name": "old", "ensure": "absent"},
    ],
    "plugins": [{"name": "acl", "config": {"allow": ["staff"]}}],
    "consumers": [{"username": "ann"}],
}


class OnSqlite(Calls, unittest.IsolatedAsyncioTestCase):
    database = "sqlite"


class OnPostgres(Calls, unittest.IsolatedAsyncioTestCase):
    database = "postgres"


if __name__ == "__main__":
    unittest.main()
