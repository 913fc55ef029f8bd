"""What Compose, Kubernetes and systemd start exists: commands, options, settings, files, queues. Needs no engine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from kombu.transport.redis import Channel
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel

from node import settings as configuration
from node.dispatch.queue import _REDIS_PRIORITY, Queues, make_app
from node.settings import Settings
from tests.support.paths import ROOT
from workers.cli import app

KUBERNETES = ROOT / "deploy" / "kubernetes"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PASSWORDS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "ORTHANC_PASSWORD", "FLOWER_PASSWORD")
NODE_SERVICES = ("migrate", "receive", "dispatch", "work", "work-gpu", "deliver")
NOT_SETTINGS = {"HILUM_CONFIG"}


def _environment_names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Name every environment variable that is a setting."""
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name}".upper()
        yield variable
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _environment_names(field.annotation, f"{variable}__")


SETTINGS = {*_environment_names(Settings, "HILUM_"), *NOT_SETTINGS}


def _parse(arguments: Sequence[str]) -> str:
    """Parse a command line as `hilum` does, without running it; give the command's name."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("hilum", list(arguments))
    command = group.get_command(context, arguments[0])
    assert command is not None, f"no command {arguments[0]!r}"
    command.make_context(arguments[0], list(arguments[1:]), parent=context)
    return arguments[0]


def _interpolated(text: str, values: Mapping[str, str]) -> str:
    """Replace ${NAME}, ${NAME:-default} and ${NAME:?message} as Compose does; `$$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, operator, rest = match[1], match[2], match[3]
        if values.get(name):
            return values[name]
        if operator == ":-":
            return str(rest)
        raise KeyError(f"{name}: {rest}")

    return re.sub(r"\$\$|\$\{(\w+)(?:(:[-?])([^}]*))?\}", value, text)


def _compose(values: Mapping[str, str]) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(_interpolated((ROOT / "docker-compose.yml").read_text(), values))
    return loaded


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return _compose({name: f"{name.lower().replace('_', '')}1" for name in PASSWORDS})


def _manifests() -> list[dict[str, Any]]:
    """Read every object of the manifests, the optional ones too."""
    found = []
    for path in sorted(KUBERNETES.glob("*.yaml")):
        if path.name not in ("kustomization.yaml", "hilum.yaml"):
            found += list(yaml.safe_load_all(path.read_text()))
    return found


MANIFESTS = _manifests()
WORKLOADS = {m["metadata"]["name"]: m for m in MANIFESTS if m["kind"] in ("Deployment", "Job")}


def _kind(kind: str) -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m for m in MANIFESTS if m["kind"] == kind}


def _pod(name: str) -> dict[str, Any]:
    pod: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return pod


def _container(name: str) -> dict[str, Any]:
    (container,) = _pod(name)["containers"]
    return dict(container)


# The edge, where a virtual environment for development has more than the image

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed on the edge", name=name)

sys.meta_path.insert(0, Blocked())
import node.dimse.scp.receiver, node.dimse.scu.storage, node.dispatch.dispatcher
from workers.cli import main
for arguments in {commands!r}:
    sys.argv = ["hilum", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def _python(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _closure(requirements: Sequence[str]) -> set[str]:
    """Name every distribution that installing the requirements brings on this kind of machine."""
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            for text in metadata.requires(requirement.name) or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return {name for name, _extra in seen}


def test_edge_commands_run_with_nothing_but_what_the_edge_image_installs(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = _closure([*project["dependencies"], *project["optional-dependencies"]["postgresql"], "celery[redis]"])
    owners = {m: set(map(canonicalize_name, ds)) for m, ds in metadata.packages_distributions().items()}
    blocked = {module for module, distributions in owners.items() if not distributions & {*installed, "hilum"}}
    assert {"torch", "highdicom", "cv2", "matplotlib"} <= blocked
    commands = [
        ["--help"],
        ["migrate"],
        ["status"],
        ["status", "--json"],
        ["studies"],
        ["receive", "--help"],
        ["explain", "--help"],
    ]
    script = BLOCK.format(blocked=blocked, commands=commands)
    done = _python(["-c", script], {"PATH": os.environ["PATH"], "HILUM_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert re.search(r"schema: empty → \d{4}", done.stdout)
    assert '"broker": false' in done.stdout


def test_dockerfile_has_both_targets_and_installs_by_hash() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^FROM \S+ AS (edge|worker)$", text, re.MULTILINE) == ["edge", "worker"]
    assert re.findall(r"--requirement (\S+)", text) == re.findall(r"--require-hashes --requirement (\S+)", text)
    assert set(re.findall(r"--requirement (\S+)", text)) == {"build.txt", "edge.txt", "worker.txt"}
    assert re.search(r'^ENTRYPOINT \["hilum"\]$', text, re.MULTILINE)
    assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)
    check = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.MULTILINE)
    assert check
    assert _parse(yaml.safe_load(check[1])[1:]) == "status"


def test_dockerfile_copies_what_exists_and_is_let_into_the_context() -> None:
    text = DOCKERFILE.read_text()
    sources = [
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
        if name != "."
    ]
    assert sources == [f"deploy/locks/{name}.txt" for name in ("build", "edge", "worker")]
    ignore = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert {"node", "workers", "models", "LICENSE", "pyproject.toml", "deploy/locks"} <= let_in
    for name in let_in - {"README.md"}:
        assert (ROOT / name).exists(), name


def test_image_versions_are_the_programs_version() -> None:
    from node import __version__

    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    assert {image["newTag"] for image in kustomization["images"]} == {__version__}
    used = re.findall(r"image: hilum-\w+:(\S+)", (ROOT / "docker-compose.yml").read_text())
    assert set(used) == {__version__}


# Compose


def test_compose_refuses_to_start_without_passwords() -> None:
    with pytest.raises(KeyError, match="see deploy/compose"):
        _compose({})


def test_example_environment_names_every_password_and_holds_none() -> None:
    lines = (ROOT / "deploy" / "compose" / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given == dict.fromkeys(PASSWORDS, "")


def test_compose_has_every_part_of_the_node_and_its_servers(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*NODE_SERVICES, "redis", "postgres", "orthanc", "flower"}


@pytest.mark.parametrize("name", NODE_SERVICES)
def test_compose_service_runs_a_real_command_with_real_settings(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    expected = {"work-gpu": "work", "deliver": "work"}.get(name, name)
    assert _parse(service["command"]) == expected
    hilum = {variable for variable in service["environment"] if variable.startswith("HILUM_")}
    assert hilum <= SETTINGS
    assert hilum
    target = service["build"]["target"]
    assert service["image"].startswith(f"hilum-{target}:")
    assert target == ("edge" if name in ("migrate", "receive", "dispatch") else "worker")
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    test = service["healthcheck"].get("test", [])
    if "hilum" in test:
        assert _parse(test[test.index("hilum") + 1 :]) == "status"


@pytest.mark.parametrize("name", ["receive", "dispatch", "work", "work-gpu", "deliver"])
def test_compose_services_share_the_spool_and_the_settings(compose: dict[str, Any], name: str) -> None:
    mounts = {mount["target"]: mount for mount in compose["services"][name]["volumes"]}
    assert mounts["/var/lib/hilum"]["source"] == "spool"
    assert (ROOT / mounts["/etc/hilum/hilum.yaml"]["source"]).is_file()
    assert "HILUM_HOME=/var/lib/hilum" in DOCKERFILE.read_text()
    assert compose["services"][name]["environment"]["HILUM_CONFIG"] == "/etc/hilum/hilum.yaml"


def test_compose_limits_memory_processes_and_core_dumps_of_every_service(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["pids_limit"] >= 128, name
        assert service["mem_limit"].endswith(("m", "g")), name
        assert service["ulimits"] == {"core": 0}, name


def test_compose_takes_images_of_others_by_digest_where_the_site_names_one() -> None:
    digest = "example/image@sha256:" + "0" * 64
    passwords = dict.fromkeys(PASSWORDS, "secret")
    names = {f"{name.upper()}_IMAGE": digest for name in ("redis", "postgres", "orthanc", "flower")}
    services = _compose(passwords | names)["services"]
    assert {services[name]["image"] for name in ("redis", "postgres", "orthanc", "flower")} == {digest}


def test_the_unit_limits_memory_processes_and_core_dumps() -> None:
    unit = (ROOT / "deploy" / "systemd" / "hilum.service").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    assert settings["LimitCORE"] == "0"
    assert settings["MemoryMax"] == "75%"
    assert int(settings["TasksMax"]) >= 512


def test_what_a_pod_may_connect_to_is_said_and_a_receiver_connects_to_nothing() -> None:
    policies = _kind("NetworkPolicy")
    closed = policies["outgoing"]["spec"]
    assert (closed["podSelector"], closed["policyTypes"], closed["egress"]) == ({}, ["Egress"], [])
    allowed = [p["spec"] for p in policies.values() if p["spec"].get("egress")]
    chosen = {name for spec in allowed for name in spec["podSelector"]["matchExpressions"][0]["values"]}
    assert chosen == {"migrate", "dispatch", "work", "work-gpu", "deliver"}


def test_the_database_of_the_cluster_must_show_its_certificate() -> None:
    settings = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "hilum.yaml").read_text())
    assert "sslmode=verify-full" in settings["database_url"]
    ca = Path(settings["database_url"].rpartition("sslrootcert=")[2])
    generated = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "kustomization.yaml").read_text())
    assert ca.name in generated["configMapGenerator"][0]["files"]
    assert (ROOT / "deploy" / "kubernetes" / ca.name).exists()


def test_compose_references_exist_and_conditions_can_come_true(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service["networks"]) <= set(compose["networks"]), name
        for mount in service.get("volumes", []):
            source = mount["source"] if isinstance(mount, dict) else mount.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), f"{name}: {source}"
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert services[other]["healthcheck"]["test"]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no"
        if name != "migrate":
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"]


def test_compose_publishes_on_loopback_only_and_hides_database_and_broker(compose: dict[str, Any]) -> None:
    published = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert set(published) == {"receive", "orthanc", "flower"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert compose["networks"]["inside"]["internal"]
    for name in ("redis", "postgres"):
        assert compose["services"][name]["networks"] == ["inside"]
    assert compose["services"]["receive"]["networks"] == ["dicom"]
    assert "PGPASSWORD" not in compose["services"]["receive"]["environment"]


def test_compose_settings_load_and_let_in_only_the_network_of_the_archive(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _no_settings_in_the_environment(monkeypatch)
    settings = configuration.load(ROOT / "deploy" / "compose" / "hilum.yaml")
    subnet = compose["networks"]["dicom"]["ipam"]["config"][0]["subnet"]
    assert settings.receiver.allowed_networks == [ip_network("127.0.0.0/8"), ip_network(subnet)]
    assert settings.receiver.host == "0.0.0.0"  # noqa: S104  inside the container
    assert settings.database_url == "postgresql+psycopg://hilum@postgres/hilum"
    assert compose["services"]["postgres"]["environment"]["POSTGRES_USER"] == "hilum"
    pacs = settings.destinations["pacs"]
    orthanc = yaml.safe_load((ROOT / "deploy" / "compose" / "orthanc.json").read_text())
    assert (pacs.ae_title, pacs.host, pacs.port) == (orthanc["DicomAet"], "orthanc", orthanc["DicomPort"])
    routed = orthanc["DicomModalities"]["hilum"]
    assert routed == [settings.receiver.ae_title, "receive", settings.receiver.port]
    assert "'hilum'" in (ROOT / "deploy" / "compose" / "route.lua").read_text()


def test_compose_environment_overrides_the_settings(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _no_settings_in_the_environment(monkeypatch)
    for variable, value in compose["services"]["work-gpu"]["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = configuration.load(ROOT / "deploy" / "compose" / "hilum.yaml")
    assert settings.broker_url == "redis://:redispassword1@redis:6379/0"
    assert settings.analysis.device == "cuda"


def test_migrate_and_status_run_with_the_compose_settings(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HILUM_CONFIG": str(ROOT / "deploy" / "compose" / "hilum.yaml"),
        "HILUM_HOME": str(tmp_path),
        "HILUM_DATABASE_URL": f"sqlite:///{tmp_path / 'hilum.db'}",
        "HILUM_BROKER_URL": f"redis+socket://{tmp_path / 'no.sock'}",
    }
    for arguments, expected in ((["migrate"], "schema: empty → "), (["status", "--json"], '"jobs": {}')):
        done = _python(["-m", "workers.cli", *arguments], environment)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


# Kubernetes


def test_kustomization_names_every_manifest_and_comments_out_the_optional_ones() -> None:
    text = (KUBERNETES / "kustomization.yaml").read_text()
    resources = set(yaml.safe_load(text)["resources"])
    optional = set(re.findall(r"^  # - (\S+\.yaml)", text, re.MULTILINE))
    assert optional == {"work-gpu.yaml", "scale.yaml"}
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "hilum.yaml"}
    assert resources | optional == files


@pytest.mark.parametrize("name", WORKLOADS)
def test_kubernetes_workload_runs_a_real_command_with_real_settings(name: str) -> None:
    container = _container(name)
    expected = {"work-gpu": "work", "deliver": "work"}.get(name, name)
    assert _parse(container["args"]) == expected
    assert "command" not in container
    variables = {variable["name"] for variable in container["env"]}
    assert {v for v in variables if v.startswith("HILUM_")} <= SETTINGS
    assert container["image"] == ("hilum-edge" if name in ("migrate", "receive", "dispatch") else "hilum-worker")
    for probe in (container.get(f"{kind}Probe") for kind in ("startup", "readiness", "liveness")):
        if probe and probe["exec"]["command"][0] == "hilum":
            assert _parse(probe["exec"]["command"][1:]) == "status"


@pytest.mark.parametrize("name", WORKLOADS)
def test_kubernetes_pod_is_confined(name: str) -> None:
    pod, container = _pod(name), _container(name)
    assert pod["securityContext"]["runAsNonRoot"]
    user, group = pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
    assert f"USER {user}:{group}" in DOCKERFILE.read_text()
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert not pod["automountServiceAccountToken"]
    # A Service becomes variables of every pod; one named hilum-… would look like a setting.
    assert not pod["enableServiceLinks"]
    assert container["resources"]["limits"]["memory"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert ("spool" in mounted) == (name != "migrate")
    assert ("envFrom" in container) == (name != "receive")


def test_kubernetes_selectors_find_the_pods_that_they_mean() -> None:
    labels = {name: w["spec"]["template"]["metadata"]["labels"] for name, w in WORKLOADS.items()}
    for name, deployment in _kind("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"] == labels[name]
    assert _kind("Service")["receive"]["spec"]["selector"] == labels["receive"]
    assert _kind("NetworkPolicy")["dicom"]["spec"]["podSelector"]["matchLabels"] == labels["receive"]
    for name, budget in _kind("PodDisruptionBudget").items():
        assert budget["spec"]["selector"]["matchLabels"] == labels[name]
        least = budget["spec"].get("minAvailable", 0)
        assert least < WORKLOADS[name]["spec"]["replicas"], f"{name} could never be drained"
    assert len({tuple(label.items()) for label in labels.values()}) == len(labels)


def test_kubernetes_spool_is_shared_and_the_receivers_get_the_senders_address(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_settings_in_the_environment(monkeypatch)
    assert _kind("PersistentVolumeClaim")["spool"]["spec"]["accessModes"] == ["ReadWriteMany"]
    settings = configuration.load(KUBERNETES / "hilum.yaml")
    service = _kind("Service")["receive"]["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    allowed = [str(network) for network in settings.receiver.allowed_networks]
    assert allowed == ["127.0.0.0/8", *service["loadBalancerSourceRanges"]]
    (port,) = _container("receive")["ports"]
    assert settings.receiver.port == port["containerPort"] == service["ports"][0]["port"]


def test_scaling_covers_every_redis_list_of_the_cpu_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_settings_in_the_environment(monkeypatch)
    settings = configuration.load(KUBERNETES / "hilum.yaml")
    queues = Queues.of(settings, "of the spool")
    options = make_app(
        settings.model_copy(update={"broker_url": "redis://redis/0"}), queues
    ).conf.broker_transport_options
    assert not {"sep", "priority_steps", "global_keyprefix"} & set(options)
    channel = Channel.__new__(Channel)
    queue = queues.analysis("cpu")
    lists = [channel._q_for_pri(queue, step) for step in Channel.priority_steps]
    assert {channel._q_for_pri(queue, priority) for priority in _REDIS_PRIORITY.values()} <= set(lists)

    scaled = _kind("ScaledObject")["work"]["spec"]
    assert scaled["scaleTargetRef"]["name"] in _kind("Deployment")
    assert [trigger["metadata"]["listName"] for trigger in scaled["triggers"]] == lists
    modifiers = scaled["advanced"]["scalingModifiers"]
    assert modifiers["formula"].split(" + ") == [trigger["name"] for trigger in scaled["triggers"]]
    assert {t["authenticationRef"]["name"] for t in scaled["triggers"]} <= set(_kind("TriggerAuthentication"))
    assert scaled["maxReplicaCount"] * int(modifiers["target"]) <= settings.dispatch.window


# systemd


def test_systemd_unit_runs_a_real_command_with_real_settings() -> None:
    lines = (ROOT / "deploy" / "systemd" / "hilum.service").read_text().splitlines()
    unit = [line.partition("=")[::2] for line in lines if "=" in line and not line.startswith("#")]
    (start,) = [value for key, value in unit if key == "ExecStart"]
    program, *arguments = shlex.split(start)
    assert program.endswith("/hilum")
    assert _parse(arguments) == "up"
    variables = {word.partition("=")[0] for key, value in unit if key == "Environment" for word in value.split()}
    assert {v for v in variables if v.startswith("HILUM_")} <= SETTINGS
    assert ("NoNewPrivileges", "yes") in unit
    assert ("ProtectSystem", "strict") in unit


def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("HILUM_")]:
        monkeypatch.delenv(variable)
