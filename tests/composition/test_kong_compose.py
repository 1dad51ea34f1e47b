#!/usr/bin/env python3
"""A composition written for Kong, in kong/docker-compose.yml, run with Langur's image: only the image's name is another.

    tests/composition/test_kong_compose.py [TEST...]

It packs a binary that is built already: $LANGUR_BINARY, else the debug build. The tests are one story and run in order. It
needs Docker, compose, and root for the stand-ins of the base images.
"""
import json
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

PROJECT = f"langur-kong-test-{os.getpid()}"
IMAGE = f"langur:kong-test-{os.getpid()}"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("LANGUR_BINARY", str(TARGET / "debug/langur"))
FILE = pathlib.Path(__file__).resolve().parent / "kong/docker-compose.yml"
os.environ.update({"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_FILE": str(FILE), "KONG_IMAGE": IMAGE})
# Docker chooses free ports.
os.environ.update({"PROXY_PORT": "", "ADMIN_PORT": "", "DBLESS_PORT": ""})

import composition as c  # noqa: E402  (it reads the environment set above)


def one(service):
    found = c.containers(service)
    if len(found) != 1:
        raise c.Failed(f"{service}: {len(found)} containers")
    return found[0]


def state(service):
    return one(service).inspected["State"]


def wait_until_healthy(service):
    def check():
        health = state(service).get("Health", {}).get("Status")
        if health != "healthy":
            raise c.Failed(str(health))

    c.eventually(f"{service} is healthy", 180, check)


def wait_until_done(service):
    def check():
        found = state(service)
        if found["Status"] != "exited" or found["ExitCode"] != 0:
            raise c.Failed(f"{found['Status']} with {found['ExitCode']}")

    c.eventually(f"{service} has ended well", 180, check)


def kong(service, *arguments):
    """What `docker exec <container> kong …` prints and exits with."""
    command = ["docker", "exec", one(service).id, "kong", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def log(service):
    return c.run("docker", "logs", one(service).id, stderr=subprocess.STDOUT)


def sql(statement):
    command = ["psql", "-h", "127.0.0.1", "-U", "kong", "-d", "kong", "-Atc", statement]
    return c.run("docker", "exec", "-e", "PGPASSWORD=kong-password", one("kong-database").id, *command).strip()


class KongCompose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(tear_down)
        subprocess.run([ROOT / "scripts/images-offline.sh"], check=True)
        subprocess.run([ROOT / "scripts/pack-image.sh", BINARY, IMAGE], check=True)
        c.compose("up", "-d", "--no-build")

    def run(self, result=None):
        failures = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > failures:
            print(c.compose("ps"), c.compose("logs", "--no-color", "--tail=60"), file=sys.stderr, flush=True)
            # What comes after builds on this.
            result.stop()

    def test_1_trial_10_the_migrations_end_well_and_kong_is_healthy(self):
        wait_until_done("kong-migrations")
        wait_until_done("kong-migrations-up")
        wait_until_healthy("kong")
        tables = sql("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
        self.assertEqual(tables, "langur")

    def test_2_trial_10_the_admin_api_and_the_proxy_are_where_they_were(self):
        admin, proxy = one("kong").url(8001), one("kong").url(8000)
        c.expect(201, "POST", f"{admin}/services", {"name": "files", "url": "http://upstream:8080"})
        c.expect(201, "POST", f"{admin}/services/files/routes", {"name": "files", "paths": ["/files"]})
        c.eventually("the route is served", 120, lambda: c.expect(200, "GET", f"{proxy}/files/hostname"))
        _, text = c.expect(200, "GET", f"{admin}/")
        self.assertEqual(json.loads(text)["version"], "3.9.3")

    def test_3_trial_10_kongs_commands_answer_in_the_container(self):
        for arguments, expected in [
            (["health"], "healthy at /var/run/kong"),
            (["version"], "3.9.3"),
            (["reload"], "reloaded"),
            (["migrations", "list"], "applied"),
            (["config", "db_export", "/var/run/kong/kong.yml"], "export successful"),
            (["config", "parse", "/var/run/kong/kong.yml"], "parse successful"),
            (["vault", "get", "env/kong-prefix"], "/var/run/kong"),
        ]:
            code, text = kong("kong", *arguments)
            self.assertEqual(code, 0, text)
            self.assertIn(expected, text)
        code, text = kong("kong", "start")
        self.assertEqual(code, 1, text)
        self.assertIn("a node runs already in /var/run/kong", text)

    def test_4_trial_07_what_does_nothing_is_warned_of_once(self):
        warnings = [json.loads(line).get("warning", "") for line in log("kong").splitlines() if line.startswith("{")]
        # Once at each start: those that found no database yet are there, too.
        starts = one("kong").inspected["RestartCount"] + 1
        self.assertEqual(len([text for text in warnings if "cassandra_contact_points" in text]), starts, warnings)
        self.assertNotIn("kong-password", log("kong"))

    def test_5_trial_10_it_starts_again_with_what_it_had(self):
        c.run("docker", "restart", one("kong").id)
        wait_until_healthy("kong")
        proxy = one("kong").url(8000)
        c.eventually("the route is served", 120, lambda: c.expect(200, "GET", f"{proxy}/files/hostname"))

    def test_6_trial_10_a_mounted_kong_conf_in_the_foreground(self):
        wait_until_healthy("kong-dbless")
        proxy = one("kong-dbless").url(8000)
        c.eventually("the route is served", 120, lambda: c.expect(200, "GET", f"{proxy}/files/hostname"))
        told = log("kong-dbless")
        self.assertIn("client_max_body_size is no setting and is ignored", told)
        # The container may end, and this command with it, before it has said so.
        code, text = kong("kong-dbless", "quit")
        self.assertIn(code, (0, 137), text)
        c.eventually("the container has ended", 60, lambda: self.has_ended("kong-dbless"))

    def has_ended(self, service):
        found = state(service)
        if found["Status"] != "exited" or found["ExitCode"] != 0:
            raise c.Failed(f"{found['Status']} with {found['ExitCode']}")


def tear_down():
    c.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")
    subprocess.run(["docker", "image", "rm", IMAGE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main(verbosity=2)
