# What clusters leave outside of their own folders, in places that cannot be set:
# kernel settings of the whole machine and a few files of the kubelet.
# shellcheck shell=bash

KERNEL_SETTINGS=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes)
KERNEL_NOTES=/run/botarmy/kernel-settings

# The first cluster notes what the settings were, the last one puts them back.
note_kernel_settings() {
  [ ! -e "$KERNEL_NOTES" ] || return 0
  (cd /proc/sys && grep -H '' "${KERNEL_SETTINGS[@]}") >"$KERNEL_NOTES"
}

restore_kernel_settings() {
  local setting value
  [ -e "$KERNEL_NOTES" ] || return 0
  while IFS=: read -r setting value; do
    [ "$(<"/proc/sys/$setting")" = "$value" ] || printf '%s\n' "$value" >"/proc/sys/$setting" || true
  done <"$KERNEL_NOTES"
  rm "$KERNEL_NOTES"
}

remove_traces() {
  rm -f "/var/lib/cni/results/botarmy-$NAME.net-"*
  [ ! -d /var/log/containers ] || find /var/log/containers -lname "$STATE/*" -delete
}

# The rest is shared by all clusters, so the last one clears it. Folders that
# somebody else uses as well are not empty, and stay.
remove_shared_traces() {
  ! compgen -G "/run/botarmy/*/pid" >/dev/null || return 0
  restore_kernel_settings
  rm -f /var/lib/kubelet/device-plugins/kubelet.sock
  rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet /var/log/containers \
    /var/lib/cni/results /var/lib/cni 2>/dev/null || true
}
