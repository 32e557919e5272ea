"""The manifests of a silo: valid, locked down, out only, and careful with rounds and budgets."""

import copy
import importlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from privacy import durable
from privacy.channel.tls import host_and_port
from privacy.operations import secret_files
from silo_node.rounds.round_vault import MEMORY
from tests.deploy.kubernetes.rules import containers, violations
from tests.deploy.systemd import units

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/kubernetes"
VERSIONS = ("1.30", "1.37")
DOCUMENTS = [
    document
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
]


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in DOCUMENTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found  # type: ignore[no-any-return]


RUN, DESK = named("Job", "collegium-silo"), named("Pod", "collegium-silo-desk")
PODS = {"run": RUN["spec"]["template"]["spec"], "desk": DESK["spec"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(version: str) -> None:
    for document in DOCUMENTS:
        kubernetes_validate.validate(document, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**RUN, "spec": {**RUN["spec"], "backOffLimit": 1}}, version, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_restricted(name: str) -> None:
    assert violations(PODS[name]) == []


TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
    "hostPID": lambda pod: pod.update(hostPID=True),
    "volume disk": lambda pod: pod["volumes"].append({"name": "disk", "hostPath": {"path": "/"}}),
    "token": lambda pod: pod.pop("automountServiceAccountToken"),
    "sysctls": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.shm_rmid_forced", "value": "0"}]),
    "key files would be opened to the group": lambda pod: pod["securityContext"].pop("fsGroupChangePolicy"),
    "user": lambda pod: pod["securityContext"].update(runAsUser=0),
    "seccomp": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "escalation": lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "capabilities": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    "writable root": lambda pod: pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"),
    "host port": lambda pod: pod["containers"][0].update(ports=[{"containerPort": 1, "hostPort": 1}]),
    "no limit of memory": lambda pod: pod["containers"][0]["resources"].pop("limits"),
    "a secret in the environment": lambda pod: pod["containers"][0].update(env=[{"name": "TOKEN", "value": "x"}]),
}


@pytest.mark.parametrize("rule", TAMPERED)
def test_what_breaks_a_rule_is_found(rule: str) -> None:
    pod = copy.deepcopy(PODS["run"])
    TAMPERED[rule](pod)
    assert violations(pod) == [rule]


def test_the_namespace_takes_restricted_pods_alone() -> None:
    labels = named("Namespace", "collegium")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"]["namespace"] for one in DOCUMENTS if one["kind"] != "Namespace"} == {"collegium"}


def test_nothing_comes_in_and_little_goes_out() -> None:
    policies = [one["spec"] for one in DOCUMENTS if one["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    assert not any("ingress" in policy for policy in policies)
    out = {
        port["port"]: (policy["podSelector"]["matchLabels"].get("app.kubernetes.io/component"), list(rule["to"][0]))
        for policy in policies
        for rule in policy.get("egress", [])
        for port in rule["ports"]
    }
    aggregator = host_and_port(option(PODS["run"], "--aggregator"))[1]
    assert out == {
        53: (None, ["namespaceSelector", "podSelector"]),
        aggregator: (None, ["ipBlock"]),
        yaml.safe_load((ROOT / "deploy/samples/pacs.yaml").read_text())["dimse"]["port"]: ("desk", ["ipBlock"]),
    }


def option(pod: dict[str, Any], name: str) -> str:
    [found] = [word.partition("=")[2] for word in pod["containers"][0]["args"] if word.startswith(f"{name}=")]
    return found


def test_the_job_runs_a_command_that_exists() -> None:
    subcommand, *words = PODS["run"]["containers"][0]["args"]
    app: Any = typer.main.get_command(importlib.import_module("silo_node.app").app)
    app.commands[subcommand].make_context("job", list(words))
    socket = option(PODS["run"], "--watch-at").removeprefix("unix:")
    image = (ROOT / "deploy/containers/silo.Dockerfile").read_text()
    for probe in ("startupProbe", "livenessProbe"):
        python, _, health, asked = PODS["run"]["containers"][0][probe]["exec"]["command"]
        assert asked == socket
        assert f'"{python}", "-I", "{health}"' in image


def test_what_needs_a_person_ends_the_job() -> None:
    fail, drained = RUN["spec"]["podFailurePolicy"]["rules"]
    assert (fail["action"], drained["action"]) == ("FailJob", "Ignore")
    assert fail["onExitCodes"]["values"] == sorted(int(code) for code in units.person("silo"))
    assert PODS["run"]["restartPolicy"] == "Never"
    assert RUN["spec"]["podReplacementPolicy"] == "Failed"


def test_a_rounds_secrets_are_in_memory_and_state_is_below_its_volume() -> None:
    for pod in PODS.values():
        [one] = containers(pod)
        places = {mount["mountPath"]: mount for mount in one["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes[places[str(MEMORY)]["name"]]["emptyDir"]["medium"] == "Memory"
        assert volumes[places["/tmp"]["name"]]["emptyDir"]["medium"] == "Memory"
        assert places.get("/data", {"readOnly": True})["readOnly"]
    state = Path(option(PODS["run"], "--state"))
    assert str(state.parent) in {mount["mountPath"] for mount in PODS["run"]["containers"][0]["volumeMounts"]}


def test_keys_on_a_volume_of_fs_group_are_their_owners_alone(tmp_path: Path) -> None:
    """A volume's root belongs to root and is writable by the group; a folder below it is ours."""
    tmp_path.chmod(0o2770)
    state = tmp_path / "silo"
    durable.make_folder(state)
    durable.write(state / "one.key", b"secret")
    assert secret_files.check(state, ("*.key",)) == "1 secret files are their owner's alone"


def test_the_desk_waits_and_ends_when_told() -> None:
    assert DESK["spec"]["containers"][0]["command"][:2] == ["/opt/collegium/bin/python3", "-I"]
    for told in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, *DESK["spec"]["containers"][0]["command"][1:]],
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT}),
        )  # blocked from the first, as a signal may come before the program has blocked it
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(told)
        assert process.wait(20) == 0


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_what_a_silo_stands_on() -> None:
    built = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True).stdout
    standing = [one for one in DOCUMENTS if one["kind"] not in ("Job", "Pod")]
    key = lambda one: (one["kind"], one["metadata"]["name"])  # noqa: E731
    assert sorted(yaml.safe_load_all(built), key=key) == sorted(standing, key=key)
