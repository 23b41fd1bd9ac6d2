# Keys, certificates and kubeconfigs of a cluster.
# shellcheck shell=bash

openssl_quietly() {
  local log=$STATE/log/openssl.log
  openssl "$@" 2>>"$log" || { cat "$log" >&2; die "openssl $1 failed"; }
}

# make_certificate FILE SUBJECT [EXTENSION...]: signed by the cluster's authority.
make_certificate() {
  local file=$STATE/pki/$1 subject=$2 extension
  shift 2
  local -a extensions=()
  for extension in "$@"; do extensions+=(-addext "$extension"); done
  openssl_quietly req -x509 -config "$HERE/config/openssl.cnf" -days 365 -subj "$subject" \
    -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$file.key" -out "$file.crt" \
    "${authority[@]}" "${extensions[@]}"
}

write_kubeconfig() {
  local name=$1 certificate=$STATE/pki/$1 file=$STATE/kubeconfig/$1
  cat >"$file" <<END
apiVersion: v1
kind: Config
clusters:
  - name: botarmy
    cluster:
      server: https://127.0.0.1:6443
      certificate-authority-data: $(base64 -w0 "$STATE/pki/ca.crt")
users:
  - name: $name
    user:
      client-certificate-data: $(base64 -w0 "$certificate.crt")
      client-key-data: $(base64 -w0 "$certificate.key")
contexts:
  - name: botarmy
    context: { cluster: botarmy, user: $name }
current-context: botarmy
END
}

make_pki() {
  local leaf="basicConstraints=CA:FALSE" usage="extendedKeyUsage=serverAuth,clientAuth" user
  local -a authority=()
  make_certificate ca /CN=botarmy-test "basicConstraints=critical,CA:TRUE" "keyUsage=critical,keyCertSign"
  authority=(-CA "$STATE/pki/ca.crt" -CAkey "$STATE/pki/ca.key")

  make_certificate apiserver /CN=kube-apiserver "$leaf" "$usage" \
    "subjectAltName=IP:127.0.0.1,IP:10.96.0.1,IP:$NODE_ADDRESS,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  make_certificate kubelet /O=system:nodes/CN=system:node:node1 "$leaf" "$usage" \
    "subjectAltName=IP:$NODE_ADDRESS,DNS:node1"
  make_certificate admin /O=system:masters/CN=admin "$leaf" "$usage"
  make_certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client "$leaf" "$usage"
  for user in kube-controller-manager kube-scheduler kube-proxy coredns; do
    make_certificate "$user" "/CN=system:$user" "$leaf" "$usage"
  done
  openssl_quietly genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$STATE/pki/service-accounts.key"
  openssl_quietly pkey -in "$STATE/pki/service-accounts.key" -pubout -out "$STATE/pki/service-accounts.pub"

  for user in admin kubelet kube-controller-manager kube-scheduler kube-proxy coredns; do
    write_kubeconfig "$user"
  done
}
