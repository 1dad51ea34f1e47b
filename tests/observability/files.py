"""The project's Prometheus and Grafana files, read."""

import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "config" / "prometheus"
GRAFANA = ROOT / "config" / "grafana"
RULES = PROMETHEUS / "rules" / "langur.yml"
ALERT_TESTS = pathlib.Path(__file__).with_name("alerts.yml")

# What Grafana replaces in an expression: $name, ${name} and ${name:format}.
VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}")


def read_yaml(path):
    return yaml.safe_load(path.read_text())


def dashboards():
    """Every dashboard by file name."""
    found = sorted((GRAFANA / "dashboards").glob("*.json"))
    return {path.name: json.loads(path.read_text()) for path in found}


def datasource():
    """The one data source that is provisioned."""
    (source,) = read_yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    return source


def variables(dashboard):
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def substitute(text, values):
    """Replaces variables as Grafana does; one without a value is an error."""
    return VARIABLE.sub(lambda match: values[match[1] or match[2]], text)


def alerts():
    return [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]
