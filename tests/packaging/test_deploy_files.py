"""The files and pages for deployment agree with the command and keep to what they promise about privileges."""

import configparser
import json
import re
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml

from ramen.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs/deploy").glob("*.md"))
FILES = [ROOT / "examples" / name for name in ("Dockerfile", "compose.yaml", "Caddyfile")] + PAGES
# Read from the environment without an option on the command line.
VARIABLES = {"RAMEN_CACHE", "RAMEN_API_KEY", "RAMEN_API_KEY_FILE", "RAMEN_ADMIN_KEY", "RAMEN_ADMIN_KEY_FILE"}


def block(page, language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/deploy" / page).read_text(), re.DOTALL)[:1]
    return found


def dockerfile():
    """Instructions and their arguments, with comments dropped and lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "examples/Dockerfile").read_text()).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def accepted():
    """Options and variables of ``ramen serve``."""
    parameters = typer.main.get_command(app).commands["serve"].params
    options = {option for one in parameters for option in (*one.opts, *one.secondary_opts) if option.startswith("--")}
    named = [one.envvar or f"RAMEN_SERVE_{one.name.upper()}" for one in parameters]
    variables = {name for names in named for name in ([names] if isinstance(names, str) else names)}
    return options | {"--help"}, variables


def used(text):
    """Options after ``ramen serve``, or in a code span of their own, and RAMEN_ variables."""
    commands = re.findall(r"ramen serve\b([^`\n|]*)", text) + re.findall(r"`(--[^`]*)`", text)
    options = {option for command in commands for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", command)}
    return options, set(re.findall(r"\bRAMEN_[A-Z_]+\b", text))


def misspelt(text):
    """What a text uses that the command lacks."""
    options, variables = accepted()
    asked, named = used(text)
    return sorted(asked - options) + sorted(named - variables - VARIABLES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_set_exists_in_the_command(path):
    assert misspelt(path.read_text(encoding="utf-8")) == []


def test_a_misspelt_option_is_found():
    assert misspelt("ramen serve RUN --prot 80") == ["--prot"] == misspelt("set `--prot 80`, as in `--host NAME`")
    assert misspelt("RAMEN_SERVE_PROT=80 RAMEN_SERVE_PORT=80 RAMEN_API_KEY_FIEL=a") == [
        "RAMEN_API_KEY_FIEL",
        "RAMEN_SERVE_PROT",
    ]


def test_the_image_runs_the_command_as_a_numbered_user():
    lines = dockerfile()
    (user,) = [value for name, value in lines if name == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    runs = " ".join(value for name, value in lines if name == "RUN")
    assert "--no-install-recommends libgomp1" in runs and "rm -rf /var/lib/apt/lists/*" in runs
    assert "-c constraints.txt '.[serve]'" in runs and f"-o {user.partition(':')[0]} " in runs
    last = dict(lines)
    assert json.loads(last["CMD"]) == ["ramen", "serve"] and last["STOPSIGNAL"] == "SIGTERM"
    environment = dict(pair.split("=", 1) for name, value in lines if name == "ENV" for pair in value.split())
    assert last["EXPOSE"] == environment["RAMEN_SERVE_PORT"] and last["VOLUME"] == environment["RAMEN_CACHE"]
    health = json.loads(last["HEALTHCHECK"].partition("CMD")[2])
    assert health[:2] == ["python", "-c"] and "/readyz" in health[2]
    compile(health[2], "HEALTHCHECK", "exec")


def test_what_the_image_installs_is_not_ignored(tracked_files):
    ignored = {line for line in (ROOT / ".dockerignore").read_text().splitlines() if line}
    assert {".git", ".venv", "runs", "data"} <= ignored
    parts = {path.parts[0] for path in tracked_files}
    assert {"ramen", "hlm_bridge", "attention_wnet", "datasets", "setup.py", "constraints.txt"} <= parts - ignored


def test_compose_leaves_the_service_nothing_to_write_but_its_cache():
    compose = yaml.safe_load((ROOT / "examples/compose.yaml").read_text())
    for service in compose["services"].values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["mem_limit"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    ramen, proxy = compose["services"]["ramen"], compose["services"]["proxy"]
    assert "ports" not in ramen and proxy["ports"] == ["80:80", "443:443"]
    writable = [volume for volume in ramen["volumes"] if not volume.endswith(":ro")]
    assert writable == ["cache:" + dict(dockerfile())["VOLUME"]]
    assert int(ramen["stop_grace_period"].removesuffix("s")) > int(ramen["environment"]["RAMEN_SERVE_GRACE"])
    keys = {Path(value).name for name, value in ramen["environment"].items() if name.endswith("_KEY_FILE")}
    assert keys == set(ramen["secrets"]) == set(compose["secrets"])
    assert (ROOT / "examples" / ramen["build"]["context"] / ramen["build"]["dockerfile"]).is_file()
    assert (
        ramen["environment"]["RAMEN_SERVE_FORWARDED_ALLOW_IPS"]
        == (compose["networks"]["front"]["ipam"]["config"][0]["subnet"])
    )
    assert "reverse_proxy {$UPSTREAM:ramen:8000}" in (ROOT / "examples/Caddyfile").read_text()


def test_kubernetes_restricts_the_pod():
    deployment, service = yaml.safe_load_all(block("kubernetes.md", "yaml"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["enableServiceLinks"] is False
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == dict(dockerfile())["USER"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert pod["terminationGracePeriodSeconds"] > int(environment["RAMEN_SERVE_GRACE"]) + 5
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert "emptyDir" in next(volume for volume in pod["volumes"] if volume["name"] == "cache")


def test_the_unit_restricts_the_service(tmp_path):
    unit = block("systemd.md", "ini")
    parser = configparser.RawConfigParser(strict=False)  # Environment= may be repeated
    parser.optionxform = str
    parser.read_string(unit)
    service = parser["Service"]
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes" and service["ProtectSystem"] == "strict"
    grace = int(re.search(r"--grace (\d+)", service["ExecStart"]).group(1))
    assert int(service["TimeoutStopSec"]) > grace and service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert f"RAMEN_API_KEY_FILE=%d/{service['LoadCredential'].partition(':')[0]}" in unit
    assert f"RAMEN_CACHE=%C/{service['CacheDirectory']}" in unit and service["MemoryMax"]
    path = tmp_path / "ramen.service"
    path.write_text(unit.replace("/opt/ramen/bin/ramen", "/bin/true"))
    try:
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return
    assert done.returncode == 0 and str(path) not in done.stderr, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
