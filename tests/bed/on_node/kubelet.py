"""What a kubelet would do once: bring the node's pods up, a new container where the last one has ended. Idempotent.

kubelet.py NODE     pods shop/web-NODE (on host port 18080) and shop/api-NODE, one container each
"""

from __future__ import annotations

import sys

from cri import Cri, message, pairs

IMAGE = "pointsman.test/busybox:1"
NAMESPACE = "shop"
HOST_PORT = 18080


def ensure(cri: Cri, name: str, host_port: int) -> None:
    sandboxes = [one for one in cri.sandboxes() if one["metadata"]["name"] == name]
    ready = next((one for one in sandboxes if one["state"] == "SANDBOX_READY"), None)
    containers = [one for one in cri.containers() if ready and one["podSandboxId"] == ready["id"]]
    if any(one["state"] == "CONTAINER_RUNNING" for one in containers):
        return
    if ready is None:
        for one in sandboxes:
            cri.order("StopPodSandbox", one["id"])
            cri.order("RemovePodSandbox", one["id"])
    labels = {
        "io.kubernetes.pod.name": name,
        "io.kubernetes.pod.namespace": NAMESPACE,
        "io.kubernetes.pod.uid": f"uid-{name}",
        "io.kubernetes.container.name": "app",
    }
    attempt = max((one["metadata"]["attempt"] for one in sandboxes), default=-1) + (ready is None)
    # PodSandboxConfig: metadata 1, hostname 2, log_directory 3, port_mappings 5, labels 6
    config = message(
        (1, message((1, name), (2, f"uid-{name}"), (3, NAMESPACE), (4, attempt))),
        (2, name),
        (3, "/var/log/pods"),
        *([(5, message((2, 8080), (3, host_port)))] if host_port else []),
        *pairs(6, labels),
        (8, b""),
    )
    sandbox = ready["id"] if ready else cri.run_sandbox(config)
    again = max((one["metadata"]["attempt"] for one in containers), default=-1) + 1
    serve = f"mkdir -p /www; echo {name} > /www/index.html; exec httpd -f -p 8080 -h /www"
    # ContainerConfig: metadata 1, image 2, command 3, labels 9, log_path 11
    container = message(
        (1, message((1, "app"), (2, again))),
        (2, message((1, IMAGE))),
        *[(3, word) for word in ("/bin/sh", "-c", serve)],
        *pairs(9, labels | {"io.kubernetes.container.restartCount": str(again)}),
        (11, f"{name}-{again}.log"),
        (15, b""),
    )
    cri.order("StartContainer", cri.create(sandbox, container, config))


def main(node: str) -> None:
    cri = Cri(timeout=60)
    ensure(cri, f"web-{node}", HOST_PORT)
    ensure(cri, f"api-{node}", 0)


if __name__ == "__main__":
    main(sys.argv[1])
