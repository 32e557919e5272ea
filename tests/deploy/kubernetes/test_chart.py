"""The aggregator's Helm chart, rendered by Helm: valid, locked down, one port in and none out."""

import importlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from privacy.channel.tls import host_and_port
from tests.deploy.kubernetes.rules import violations
from tests.deploy.kubernetes.test_manifests import VERSIONS

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy/helm/collegium-aggregator"
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "desk": {"desk": True},
    "all": {
        "image": {"repository": "registry.hospital.example/collegium-aggregator", "digest": "sha256:" + "a" * 64},
        "service": {"type": "ClusterIP", "port": 443, "annotations": {"example.org/a": "b"}},
        "allowFrom": ["192.0.2.0/24", "2001:db8::/32"],
        "state": {"size": "1Ti", "storageClass": "encrypted", "accessMode": "ReadWriteOnce"},
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
    },
}


REFUSED: list[dict[str, Any]] = [
    {"replicas": 2},
    {"service": {"type": "LoadBalancer", "port": 0}},
    {"image": {"digest": "latest"}},
    {"allowFrom": ["hospital.example"]},
    {"state": {"accessMode": "ReadWriteMany"}},
]


@cache
def all_made() -> list[dict[str, Any]]:
    words = [sys.executable, Path(__file__).with_name("render.py"), CHART]
    asked = json.dumps([*CASES.values(), *REFUSED])
    return json.loads(subprocess.run(words, input=asked, capture_output=True, text=True, check=True).stdout)  # type: ignore[no-any-return]


def helm(values: dict[str, Any]) -> dict[str, Any]:
    """What Helm made of these values."""
    return all_made()[[*CASES.values(), *REFUSED].index(values)]


def rendered(case: str) -> dict[str, dict[str, Any]]:
    """The objects by kind."""
    files = helm(CASES[case])["files"]
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    objects = [one for text in texts for one in yaml.safe_load_all(text)]
    made = {one["kind"]: one for one in objects}
    assert len(made) == len(objects)
    return made


def pod(case: str) -> dict[str, Any]:
    return rendered(case)["StatefulSet"]["spec"]["template"]["spec"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES)
def test_what_helm_makes_is_valid_and_locked_down(case: str) -> None:
    made = rendered(case)
    assert set(made) == {"NetworkPolicy", "PersistentVolumeClaim", "Service", "ServiceAccount", "StatefulSet"}
    for one in made.values():
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    assert violations(pod(case)) == []
    assert made["ServiceAccount"]["automountServiceAccountToken"] is False
    lint = helm(CASES[case])["lint"]
    assert lint["errors"] == []
    assert [message["error"] for message in lint["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("case", CASES)
def test_one_port_in_and_nothing_out(case: str) -> None:
    policy = rendered(case)["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    [rule] = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "grpc"}]
    assert [block["ipBlock"]["cidr"] for block in rule.get("from", [])] == CASES[case].get("allowFrom", [])
    labels = rendered(case)["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert rendered(case)["Service"]["spec"]["selector"].items() <= labels.items()


def test_the_pod_serves_where_the_service_leads() -> None:
    [one] = pod("default")["containers"]
    subcommand, *words = one["args"]
    app: Any = typer.main.get_command(importlib.import_module("aggregator.app").app)
    app.commands[subcommand].make_context("pod", list(words))
    options = dict(word.split("=", 1) for word in words if "=" in word)
    assert one["ports"] == [{"name": "grpc", "containerPort": host_and_port(options["--listen"])[1], "protocol": "TCP"}]
    assert rendered("default")["Service"]["spec"]["ports"][0]["targetPort"] == "grpc"
    socket = options["--watch-at"].removeprefix("unix:")
    for probe, asked in (("startupProbe", []), ("livenessProbe", []), ("readinessProbe", ["/readyz"])):
        assert one[probe]["exec"]["command"][3:] == [socket, *asked]


def test_values_change_what_they_say() -> None:
    made, [one] = rendered("all"), pod("all")["containers"]
    assert one["image"] == "registry.hospital.example/collegium-aggregator@sha256:" + "a" * 64
    assert made["Service"]["spec"]["ports"][0]["port"] == 443
    assert made["PersistentVolumeClaim"]["spec"]["storageClassName"] == "encrypted"
    assert pod("all")["nodeSelector"] == {"zone": "a"}
    [desk] = pod("desk")["containers"]
    assert "args" not in desk
    assert "readinessProbe" not in desk
    assert "exec -it chest-aggregator-0" in helm(CASES["desk"])["files"][f"{CHART.name}/templates/NOTES.txt"]


@pytest.mark.parametrize("values", REFUSED, ids=str)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any]) -> None:
    assert "values don't meet the specifications of the schema" in helm(values)["error"]
