# Starting, watching and recognising the processes of a cluster.
# shellcheck shell=bash

# One caller at a time starts or stops the cluster of a name.
lock_cluster() {
  mkdir -p /run/botarmy
  while true; do
    exec 9>"$RUN.lock"
    flock -w 300 9 || die "another call is still starting or stopping the cluster '$NAME'"
    # Whoever had the lock before may have taken the file away with the cluster.
    [ ! "$RUN.lock" -ef "/proc/$$/fd/9" ] || return 0
  done
}

# A process that outlives its caller must not hold the caller's files open:
# whoever reads the other end of a pipe would wait for ever.
close_inherited() {
  local fd
  for fd in "/proc/$BASHPID/fd"/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || eval "exec $fd>&-"
  done
}

# Starts a program of the cluster inside its network namespace, in a session of
# its own, without the caller's environment (a proxy there would catch the
# cluster's own calls). The log of one that is started again goes on.
start() {
  local part=$1
  shift
  (
    close_inherited
    # Pods run as other users and must be able to read their own settings.
    umask 022
    exec setsid nsenter --net="$NETNS" env -i HOME="$STATE" \
      PATH="$STATE/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
      "$STATE/bin/$part" "$@"
  ) </dev/null >>"$STATE/log/$part.log" 2>&1 &
  printf '%s\n' "$!" >"$RUN/pid/$part"
  disown
}

# Whether a process number still belongs to the cluster; it may have been given
# to a stranger since it was written down.
is_ours() { grep -qzF -e "$STATE/" -e "$RUN/" "/proc/$1/cmdline" 2>/dev/null; }

part_runs() {
  local pid
  pid=$(cat "$RUN/pid/$1" 2>/dev/null) && is_ours "$pid"
}

dead_parts() {
  local file
  for file in "$RUN"/pid/*; do
    [ -e "$file" ] || continue
    part_runs "${file##*/}" || printf '%s\n' "${file##*/}"
  done
}

# A cluster lives while all of its processes do.
is_alive() { [ -e "$RUN/complete" ] && [ -z "$(dead_parts)" ]; }

show_log() {
  say "the end of $1's log:"
  tail -n 20 "$STATE/log/$1.log" >&2 || true
}

# Waits until a command succeeds. Gives up when the time is over or a process of
# the cluster has died, and shows why: PART is the one to be blamed for a delay.
wait_for() {
  local what=$1 part=$2 limit=$3 deadline dead
  shift 3
  deadline=$((SECONDS + limit))
  until "$@" >"$STATE/log/wait.log" 2>&1; do
    dead=$(dead_parts)
    dead=${dead%%$'\n'*}
    if [ -n "$dead" ]; then
      show_log "$dead"
      die "$dead died while waiting for: $what"
    fi
    if ((SECONDS >= deadline)); then
      show_log wait
      show_log "$part"
      die "not within $limit seconds: $what"
    fi
    sleep 0.2
  done
  say "$NAME: $what ($SECONDS s)"
}
