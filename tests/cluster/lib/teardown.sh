# Taking a cluster away, whatever state it is in.
# shellcheck shell=bash

# The cluster's folder in each cgroup hierarchy (several in v1, one in v2).
cgroup_dirs() { awk -v name="botarmy-$NAME" '$3 ~ /^cgroup2?$/ { print $2 "/" name }' /proc/mounts; }

container_pids() {
  local dir
  cgroup_dirs | while read -r dir; do
    [ ! -d "$dir" ] || find "$dir" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un
}

# Shims and runc outlive containerd, and nobody writes their numbers down.
helper_pids() {
  local file pid
  { grep -lzF -e "$RUN/" /proc/[0-9]*/cmdline 2>/dev/null || true; } | while read -r file; do
    pid=${file#/proc/}
    pid=${pid%/cmdline}
    case $(readlink "/proc/$pid/exe" || true) in
      */containerd-shim-runc-v2 | */runc) printf '%s\n' "$pid" ;;
    esac
  done
}

recorded_pids() {
  local file pid
  for file in "$RUN"/pid/*; do
    [ -e "$file" ] || continue
    pid=$(<"$file")
    if is_ours "$pid"; then printf '%s\n' "$pid"; fi
  done
}

# Kills what a listing names, until it names nothing any more.
kill_all() {
  local pids try
  for try in {1..100}; do
    mapfile -t pids < <("$@")
    [ "${#pids[@]}" -gt 0 ] || return 0
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.05
  done
  say "still running after $try tries to end them: ${pids[*]}"
}

unmount_all() {
  local place
  awk '{ print $5 }' /proc/self/mountinfo | grep -F -e "$STATE/" -e "$RUN/" | sort -r | while read -r place; do
    umount "$place" 2>/dev/null || umount -l "$place" 2>/dev/null || true
  done || true
}

remove_cgroups() {
  local dir try
  for dir in $(cgroup_dirs); do
    # The kernel lets go of a killed process' group a moment later.
    for try in {1..100}; do
      [ -d "$dir" ] || break
      find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    done
    [ ! -d "$dir" ] || say "could not remove the cgroup $dir (tried $try times)"
  done
}

# The kubelet ends first, or it would start the containers again that end next.
tear_down() {
  local kubelet
  if kubelet=$(cat "$RUN/pid/kubelet" 2>/dev/null) && is_ours "$kubelet"; then
    kill -KILL "$kubelet"
  fi
  kill_all container_pids
  kill_all helper_pids
  kill_all recorded_pids
  kill_all helper_pids
  unmount_all
  remove_cgroups
  [ ! -e "$NETNS" ] || ip netns delete "botarmy-$NAME"
  remove_traces
  rm -rf --one-file-system "$STATE" "$RUN"
  remove_shared_traces
}
