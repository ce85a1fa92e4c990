# Starts, on a node of another release (tests/bed/record_others.py), what record.py's node has from its boot, and the two other runtimes.
exec 2>&1
mkdir -p /etc/containers /var/log/pods
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
cat >/etc/containers/storage.conf <<END
[storage]
driver = "vfs"
runroot = "/run/containers"
graphroot = "/var/lib/containerd/podman"
END
cat >/etc/containers/containers.conf <<END
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
runc = ["/usr/local/sbin/runc"]
END
localedef -i de_DE -f UTF-8 de_DE.UTF-8
systemctl start containerd
systemd-run --unit=dockerd dockerd --data-root=/var/lib/containerd/docker --storage-driver=vfs --iptables=false --ip6tables=false --bridge=none
ctr -n k8s.io images import /opt/busybox.tar
podman load -i /opt/busybox.tar
for attempt in $(seq 100); do docker version && break; sleep 0.3; done
docker load -i /opt/busybox.tar
