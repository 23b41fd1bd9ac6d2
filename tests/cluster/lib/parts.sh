# How each process of the cluster is started.
# shellcheck shell=bash

start_etcd() {
  start etcd --name=node1 --data-dir="$STATE/etcd" --unsafe-no-fsync --logger=zap --log-level=warn \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 \
    --initial-cluster=node1=http://127.0.0.1:2380
}

start_containerd() { start containerd --config="$STATE/etc/containerd.toml"; }

start_apiserver() {
  local pki=$STATE/pki
  # OwnerReferencesPermissionEnforcement is off by default, but on in some
  # distributions: with it a missing right on finalizers shows here already.
  # InternalIP: logs and exec would look the node's name up, which no DNS knows.
  start kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 \
    --advertise-address="$NODE_ADDRESS" --service-cluster-ip-range="$SERVICE_ADDRESSES" \
    --authorization-mode=Node,RBAC --allow-privileged=true \
    --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement \
    --client-ca-file="$pki/ca.crt" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-preferred-address-types=InternalIP --kubelet-certificate-authority="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file="$pki/service-accounts.key" \
    --service-account-key-file="$pki/service-accounts.pub" \
    --audit-policy-file="$STATE/etc/audit.yaml" --audit-log-path="$STATE/log/audit.log"
}

start_controller_manager() {
  local kubeconfig=$STATE/kubeconfig/kube-controller-manager pki=$STATE/pki
  # An autoscaler looks every 15 s otherwise: tests wait for several of its looks.
  start kube-controller-manager --horizontal-pod-autoscaler-sync-period=3s \
    --kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig" \
    --authorization-kubeconfig="$kubeconfig" --bind-address=127.0.0.1 --leader-elect=false \
    --node-monitor-period=1s --use-service-account-credentials --cluster-cidr="$POD_ADDRESSES" --root-ca-file="$pki/ca.crt" \
    --service-account-private-key-file="$pki/service-accounts.key" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --flex-volume-plugin-dir="$STATE/volume-plugins"
}

start_scheduler() {
  local kubeconfig=$STATE/kubeconfig/kube-scheduler
  start kube-scheduler --kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig" \
    --authorization-kubeconfig="$kubeconfig" --bind-address=127.0.0.1 --leader-elect=false
}

start_kubelet() {
  start kubelet --config="$STATE/etc/kubelet.yaml" --kubeconfig="$STATE/kubeconfig/kubelet" \
    --root-dir="$STATE/kubelet" --cert-dir="$STATE/pki" --hostname-override=node1 --node-ip="$NODE_ADDRESS"
}

start_proxy() { start kube-proxy --config="$STATE/etc/kube-proxy.yaml" --hostname-override=node1; }

start_coredns() { start coredns -conf "$STATE/etc/Corefile"; }
