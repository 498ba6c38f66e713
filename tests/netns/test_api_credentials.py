# SPDX-License-Identifier: GPL-2.0-or-later
"""Who the server is and who we are: TLS, tokens, client certificates, exec plugins."""
import json
import os
import shutil
import signal

import pytest

from node import run, wait_for
from rig import SERVER, make_ca, web


def test_only_the_clusters_ca_is_trusted(tls_rig):
    other, _ = make_ca(tls_rig.directory, "other")
    tls_rig.start(kubeconfig=tls_rig.kubeconfig(SERVER, {"certificate-authority": other}))
    wait_for("refusal", lambda: "certificate is not trusted (TLS)" in tls_rig.log())
    assert not tls_rig.server.requests
    # The file is read again: the right CA is enough, without a restart (CF-7).
    with open(tls_rig.ca, "rb") as good, open(other, "wb") as f:
        f.write(good.read())
    tls_rig.wait_equal()


def in_private_mounts(rig, script):
    """A wrapper that runs kproxy after 'script', whose mounts nobody else sees."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if run(*unshare, "true", check=False).returncode:
        pytest.skip("mounts cannot be private here")
    path = os.path.join(rig.directory, "wrapper")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"""#!/bin/sh
exec {" ".join(unshare)} sh -ec '{script}; exec "$@"' sh "$@"
""")
    os.chmod(path, 0o755)
    return path


def test_the_systems_cas_are_not_trusted_beside_the_clusters(tls_rig):  # LC-5
    other, _ = make_ca(tls_rig.directory, "other")
    certs = os.path.join(tls_rig.directory, "certs")
    os.mkdir(certs)
    shutil.copy(tls_rig.ca, f"{certs}/server.pem")
    run("openssl", "rehash", certs)
    wrapper = in_private_mounts(tls_rig, f"mount --bind {certs} /etc/ssl/certs")
    tls_rig.start(kubeconfig=tls_rig.kubeconfig(SERVER, {"certificate-authority": other}),
                  wrapper=[wrapper])
    wait_for("refusal", lambda: "certificate is not trusted (TLS)" in tls_rig.log())
    assert not tls_rig.server.requests


def test_in_a_pod(tls_rig):  # 2.3, CF-5
    tls_rig.server.tokens = ["secret-1"]
    account = "/run/secrets/kubernetes.io/serviceaccount"
    wrapper = in_private_mounts(
        tls_rig, f"mount -t tmpfs none /run; mkdir -p {account}; "
        f"cp {tls_rig.ca} {account}/ca.crt; printf secret-1 >{account}/token")
    env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    tls_rig.start_synced(kubeconfig="", wrapper=[wrapper], env=env)
    assert "secret" not in tls_rig.log()
    os.kill(tls_rig.process.pid, signal.SIGTERM)
    assert tls_rig.process.wait(10) == 0
    tls_rig.start(kubeconfig="", wrapper=[wrapper], env={**env, "KUBERNETES_SERVICE_PORT": "1"})
    wait_for("the hint", lambda: "only works once a proxy has" in tls_rig.log())


def test_client_certificate(tls_rig):  # CF-7
    clients, key = make_ca(tls_rig.directory, "client")
    others, _ = make_ca(tls_rig.directory, "others")
    tls_rig.server.client_ca = others
    tls_rig.start(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": tls_rig.ca},
        {"client-certificate": clients, "client-key": key}))
    wait_for("refusal", lambda: "request failed" in tls_rig.log())
    tls_rig.server.client_ca = clients
    tls_rig.wait_equal()
    # A new certificate is used for the next connection, without a restart.
    new, new_key = make_ca(tls_rig.directory, "new")
    os.rename(new, clients)
    os.rename(new_key, key)
    tls_rig.server.client_ca = clients
    tls_rig.server.drop_connections()
    tls_rig.server.put(*web(1, 9))
    tls_rig.wait_equal()


def test_tls_server_name(tls_rig):  # LC-6
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": "server.crt", "tls-server-name": "api.test"}))
    assert {r.headers["host"] for r in tls_rig.server.requests} == {"127.0.0.1:6443"}


def test_token_rotation(tls_rig):  # CF-6
    path = os.path.join(tls_rig.directory, "token")

    def set_token(token):
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(token + "\n")
        os.rename(path + ".new", path)
        tls_rig.server.tokens = [token]

    set_token("secret-1")
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": tls_rig.ca}, {"tokenFile": "token"}))
    for number in range(2, 5):
        set_token(f"secret-{number}")
        tls_rig.server.end_watches()
        tls_rig.server.put(*web(1, number + 10))
        tls_rig.wait_equal(5)
    assert tls_rig.server.count("list", "services") == 1
    assert "secret" not in tls_rig.log()


PLUGIN = """#!/bin/sh
n=$(cat "$DIR/n"); echo $((n + 1)) > "$DIR/n"
echo "$KUBERNETES_EXEC_INFO" > "$DIR/info"
echo "a remark" >&2
cat <<END
{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",
 "status":{"token":"secret-$n"}}
END
"""


def test_exec_plugin(tls_rig):  # CF-8, CF-9
    directory = tls_rig.directory
    with open(f"{directory}/plugin", "w", encoding="utf-8") as f:
        f.write(PLUGIN)
    os.chmod(f"{directory}/plugin", 0o755)
    with open(f"{directory}/n", "w", encoding="utf-8") as f:
        f.write("1")
    tls_rig.server.tokens = ["secret-1"]
    tls_rig.start_synced(kubeconfig=tls_rig.kubeconfig(
        SERVER, {"certificate-authority": tls_rig.ca},
        {"exec": {"command": "./plugin", "apiVersion": "client.authentication.k8s.io/v1",
                  "interactiveMode": "Never", "env": [{"name": "DIR", "value": directory}]}}))
    tls_rig.server.tokens = ["secret-2"]
    tls_rig.server.end_watches()
    tls_rig.server.put(*web(1, 9))
    tls_rig.wait_equal(5)
    with open(f"{directory}/n", encoding="utf-8") as f:
        assert f.read() == "3\n", "one run at start, one after the 401"
    with open(f"{directory}/info", encoding="utf-8") as f:
        assert json.load(f)["spec"] == {"interactive": False}
    assert "a remark" in tls_rig.log() and "secret" not in tls_rig.log()


def test_no_credentials_without_tls(rig):  # CF-3
    rig.start_synced(kubeconfig=rig.kubeconfig(user={"token": "secret"}))
    assert all("authorization" not in r.headers for r in rig.server.requests)
    assert "sending no credentials" in rig.log() and "secret" not in rig.log()


def test_stops_at_any_time(tls_rig):
    plugin = {"exec": {"command": "sleep", "args": ["1000"],
                       "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}}
    for user, ready in ((plugin, "watching the API server"), ({}, "the API server answers"),
                        ({}, "all objects are known")):
        tls_rig.start(kubeconfig=tls_rig.kubeconfig(SERVER, {"certificate-authority": tls_rig.ca},
                                                    user))
        wait_for(ready, lambda r=ready: r in tls_rig.log())
        os.kill(tls_rig.process.pid, signal.SIGTERM)
        assert tls_rig.process.wait(10) == 0
        os.unlink(tls_rig.log_path)
