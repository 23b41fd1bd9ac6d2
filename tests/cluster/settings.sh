# Sourced by every script of this folder: where things are, and how they speak.
# shellcheck shell=bash
set -euo pipefail

# ip and iptables lie where a plain root shell does not always look.
PATH=$PATH:/usr/sbin:/sbin
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${BOTARMY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/botarmy}
# shellcheck disable=SC2034 # read by the scripts that source this file
{
  KUBERNETES_VERSION=1.36.3
  HELM_VERSION=3.17.3.post1
  # Addresses exist only inside the cluster's own network namespace.
  NODE_ADDRESS=10.88.0.1
  SERVICE_ADDRESSES=10.96.0.0/16
  POD_ADDRESSES=10.88.0.0/16
}

say() { printf '%s\n' "cluster: $*" >&2; }
die() { printf '%s\n' "cluster: error: $*" >&2; exit 1; }

# The folder of a part's finished programs. Its name carries a hash of all that
# goes into the build, so that a changed module file is a new part.
part_dir() {
  local part=$1 key
  key=$(cd "$HERE/parts/$part" && cat ./* - < <(go env GOVERSION GOARCH) | sha256sum | cut -c1-12)
  printf '%s' "$CACHE/parts/$part-$key"
}

helm_dir() { printf '%s' "$CACHE/tools/helm-$HELM_VERSION"; }

# Sets the names and folders of one cluster. RUN is short, because a unix
# socket's path has at most 107 bytes, and leads back to STATE, so that a cluster
# is found again by its name alone, whatever the cache folder of the caller.
# shellcheck disable=SC2034 # as above
use_cluster() {
  NAME=${1:-${BOTARMY_CLUSTER:-botarmy}}
  [[ $NAME =~ ^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$ ]] ||
    die "'$NAME' is no name for a cluster: at most 20 small letters, digits and inner dashes"
  RUN=/run/botarmy/$NAME
  STATE=$(readlink "$RUN/state" || printf '%s' "$CACHE/clusters/$NAME")
  NETNS=/var/run/netns/botarmy-$NAME
  KUBECONFIG_ADMIN=$STATE/kubeconfig/admin
}
