"""`/openapi.json` against the Admin API that it describes: schemathesis sends what the description
allows and what it does not, and every answer must be a documented one."""

import json
import pathlib
import subprocess
import sys
import unittest

import jsonschema_rs
import schemathesis

from control_plane import call, control_plane

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "data" / "schema_vectors.jsonl"
# Test cases for each operation, of those that make them up and of those that follow links. What
# only PostgreSQL refuses shows in fewer.
CASES = {
    "sqlite": {"fuzzing": 6, "stateful": 30},
    "postgres": {"fuzzing": 3, "stateful": 15},
}
# How often the key in a path is that of an entity which was there in the beginning.
OFTEN = 0.7


def validators(document):
    """A validator for each schema component."""

    def validator(name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return jsonschema_rs.Draft202012Validator(schema)

    return {name: validator(name) for name in document["components"]["schemas"]}


class Document(unittest.TestCase):
    """What the description says, without asking the Admin API anything else."""

    @classmethod
    def setUpClass(cls):
        with control_plane("sqlite") as node:
            _, cls.document = call("GET", f"{node.url}/openapi.json")
            _, cls.endpoints = call("GET", f"{node.url}/endpoints")
        cls.validators = validators(cls.document)

    def test_it_is_openapi_3_1(self):
        self.assertEqual(self.document["openapi"], "3.1.0")
        schemathesis.openapi.from_dict(self.document).validate()

    def test_it_has_every_endpoint(self):
        # Kong lists these, and answers 404 to them.
        nothing = {
            "/snis/{snis}/certificate",
            "/targets",
            "/targets/{targets}",
            "/targets/{targets}/upstream",
        }
        self.assertEqual(set(self.document["paths"]), set(self.endpoints["data"]) - nothing)

    def test_recorded_entities_fit(self):
        """What Kong took from a client fits what a client may send, and what it made of it fits what
        clients are shown."""
        rows = [json.loads(line) for line in VECTORS.read_text().splitlines()]
        taken = [row for row in rows if "result" in row["expect"]]
        described = [row for row in taken if row["entity"] in self.validators]
        self.assertGreater(len(described), 40)
        for row in described:
            suffix = "-change" if row["op"] == "update" else "-new"
            with self.subTest(entity=row["entity"], input=row["input"]):
                self.validators[row["entity"] + suffix].validate(row["input"])
                self.validators[row["entity"]].validate(row["expect"]["result"])


def populate(node):
    """Makes one of nearly everything; the keys by which paths name them, by parameter."""
    certificate = {
        "id": "c0000000-0000-4000-8000-000000000000",
        "cert": (node.folder / "cluster.crt").read_text(),
        "key": (node.folder / "cluster.key").read_text(),
        "snis": ["a.test"],
    }
    public = (HERE.parents[1] / "src/schema/data/test_rsa_public.pem").read_text()
    made = (
        ("services", "/services/a", {"url": "http://a.test/a", "tags": ["a"]}),
        ("routes", "/routes/a", {"paths": ["/a"], "service": {"name": "a"}}),
        ("consumers", "/consumers/a", {"custom_id": "a"}),
        ("upstreams", "/upstreams/a", {}),
        ("key_sets", "/key-sets/a", {}),
        ("keys", "/keys/a", {"pem": {"public_key": public}, "kid": "a", "set": {"name": "a"}}),
        ("vaults", "/vaults/a-1", {"name": "env"}),
        ("plugins", "/plugins/a", {"name": "key-auth", "route": {"name": "a"}}),
        ("keyauth_credentials", "/consumers/a/key-auth/a", {}),
        ("basicauth_credentials", "/consumers/a/basic-auth/a", {"password": "a"}),
        ("hmacauth_credentials", "/consumers/a/hmac-auth/a", {}),
        ("jwt_secrets", "/consumers/a/jwt/a", {}),
        ("acls", "/consumers/a/acls/a", {}),
        ("oauth2_credentials", "/consumers/a/oauth2/a", {"name": "a"}),
        ("sessions", "/sessions/a", {}),
        ("certificates", f"/certificates/{certificate['id']}", certificate),
    )
    keys = {"snis": "a.test", "tags": "a", "targets": "127.0.0.1:80"}
    for parameter, path, document in made:
        node.admin("PUT", path, document)
        keys[parameter] = path.rsplit("/", 1)[1]
    node.admin("POST", "/upstreams/a/targets", {"target": keys["targets"]})
    return keys


class Answers(unittest.TestCase):
    """What schemathesis finds on a control plane."""

    def test_on_sqlite(self):
        self.examine("sqlite")

    def test_on_postgres(self):
        self.examine("postgres")

    def examine(self, database):
        with control_plane(database) as node:
            keys = populate(node)
            config = node.folder / "schemathesis.toml"
            config.write_text((HERE / "schemathesis.toml").read_text() + bound(keys))
            for phase, cases in CASES[database].items():
                with self.subTest(phase):
                    self.run_phase(node, config, phase, cases)

    def run_phase(self, node, config, phase, cases):
        command = [
            pathlib.Path(sys.executable).parent / "schemathesis",
            f"--config-file={config}",
            "run",
            f"{node.url}/openapi.json",
            f"--phases={phase}",
            f"--max-examples={cases}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=node.folder)
        summary = done.stdout[done.stdout.find("SUMMARY") :]
        print(f"{phase}: {' '.join(summary.split())}")
        self.assertEqual(done.returncode, 0, done.stdout[-60000:] + done.stderr)


def bound(keys):
    """The part of a configuration that gives paths these keys."""
    dictionaries = (
        f"[dictionaries.{name}]\nvalues = [{json.dumps(key)}]\n" for name, key in keys.items()
    )
    bindings = (
        f'"path.{name}" = {{ dictionary = "{name}", probability = {OFTEN} }}\n' for name in keys
    )
    return "\n" + "".join(dictionaries) + "[parameters]\n" + "".join(bindings)
