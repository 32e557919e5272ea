"""What a pod of ours may not ask for: the Pod Security Standard "restricted", rule by rule, and a little more.

https://kubernetes.io/docs/concepts/security/pod-security-standards (Kubernetes 1.34); fields of Windows are left out.
"""

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}


def violations(pod: dict[str, Any]) -> list[str]:
    """Every rule that a pod's spec breaks."""
    return [*_of_pod(pod), *(rule for one in containers(pod) for rule in _of_container(one, pod))]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for kind in ("initContainers", "containers", "ephemeralContainers") for one in pod.get(kind, [])]


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    given = pod.get("securityContext", {})
    if given.get("sysctls"):
        yield "sysctls"
    if given.get("seLinuxOptions") or given.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield "mandatory access control"
    if pod.get("automountServiceAccountToken") is not False:
        yield "token"
    if given.get("fsGroup") and given.get("fsGroupChangePolicy") != "OnRootMismatch":
        yield "key files would be opened to the group"


def _of_container(one: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = one.get("securityContext", {})
    given = {**pod.get("securityContext", {}), **own}
    if own.get("privileged") or own.get("procMount", "Default") != "Default":
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "escalation"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
        yield "capabilities"
    if given.get("runAsNonRoot") is not True or given.get("runAsUser") != 10001 or given.get("runAsGroup") != 10001:
        yield "user"
    if given.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccomp"
    if any("hostPort" in port for port in one.get("ports", [])):
        yield "host port"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "writable root"
    if "memory" not in one.get("resources", {}).get("limits", {}):
        yield "no limit of memory"
    if any(word in str(one.get("env", [])).lower() for word in ("secret", "password", "token")):
        yield "a secret in the environment"
