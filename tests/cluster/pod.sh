# One pod, two containers over an emptyDir.

kubectl_apply_makes_it_ready() { # the file that the README names, just as it is
  k apply -f app-pod.yaml
  k wait --for=condition=Ready pod/appcoup --timeout=120s
  [ "$(restarts appcoup)" = 'echo 0 generator 0 ' ] || fail "$(restarts appcoup)"
}

port_forward_and_curl_print_numbers() {
  local said numbers
  coproc FORWARD { exec kubectl --namespace "$NAMESPACE" port-forward pod/appcoup :8000 2>&1; }
  read -r said <&"${FORWARD[0]}" # Forwarding from 127.0.0.1:40000 -> 8000
  [[ $said =~ (127\.0\.0\.1:[0-9]+) ]] || fail "$said"
  numbers=$(curl -fsS --max-time 10 "http://${BASH_REMATCH[1]}/data")
  kill "$FORWARD_PID"
  grep -qxE '[0-9]+' <<<"$numbers" || fail "no numbers: $numbers"
  ! grep -qvxE '[0-9]{1,5}' <<<"$numbers" || fail "more than numbers: $numbers"
}

both_programs_log_what_they_do() {
  local said
  said=$(k logs appcoup) # of the default container
  [[ $said == *'listening on http://0.0.0.0:8000'* && $said == *'found the file'* ]] || fail "echo: $said"
  said=$(k logs appcoup -c generator)
  [[ $said == *appending* ]] || fail "generator: $said"
}

kubectl_delete_ends_both_with_status_0_within_the_grace_period() {
  local attempt ended echo_status echo_end generator_status generator_end deadline
  # On a busy node the kubelet of 1.20 may remove a container before it has told how that ended; then once more.
  for attempt in 1 2 3; do
    [ "$attempt" = 1 ] || kubectl_apply_makes_it_ready
    delete_watched
    ended=$(grep -m 1 -E '^echo [0-9]+ \S+ generator [0-9]+ \S+ of ' "$WORK/states") && break
  done
  [ -n "$ended" ] || fail "no word of an end: $(cat "$WORK/states")"
  read -r _ echo_status echo_end _ generator_status generator_end _ deadline <<<"$ended"
  [ "$echo_status $generator_status" = '0 0' ] || fail "$ended"
  [[ ! $echo_end > $deadline && ! $generator_end > $deadline ]] || fail "too late: $ended"
  echo "$ended"
}

# Deletes the pod and notes each of its states. In the last but one, both containers have ended; only then is it removed.
delete_watched() {
  local watch
  k get pod appcoup --watch -o go-template='{{range .status.containerStatuses}}{{.name}} {{with .state.terminated}}{{.exitCode}} {{.finishedAt}} {{end}}{{end}}of {{.metadata.deletionTimestamp}}{{"\n"}}' >"$WORK/states" &
  watch=$!
  k delete pod appcoup --timeout=120s
  kill "$watch"
}

# Does $2 to container $1 and waits until it, and only it, was restarted; no number may be lost on the way.
restarts_alone() {
  local name=$1 other=generator before lines after generation
  shift
  [ "$name" != generator ] || other='echo'
  lines=$(verified_lines appcoup 10)
  generation=$(generation_at pods/appcoup:8000)
  before=$(restart_count "$other") after=$(($(restart_count "$name") + 1))
  "$@"
  k wait pod/appcoup --timeout=120s --for=jsonpath="{.status.containerStatuses[?(@.name==\"$name\")].restartCount}=$after"
  k wait pod/appcoup --timeout=120s --for=condition=Ready
  verified_lines appcoup $((lines + 10))
  [ "$(generation_at pods/appcoup:8000)" = "$generation" ] || fail 'the file was begun anew'
  [ "$(restart_count "$other")" = "$before" ] || fail "$other was restarted too: $(restarts appcoup)"
  [ "$(restart_count "$name")" = "$after" ] || fail "$name was restarted more than once: $(restarts appcoup)"
}

restart_count() { k get pod appcoup -o jsonpath="{.status.containerStatuses[?(@.name=='$1')].restartCount}"; }

a_killed_generator_is_restarted_alone_and_loses_no_number() {
  k apply -k tests/cluster/pod
  k wait --for=condition=Ready pod/appcoup --timeout=120s
  restarts_alone generator send appcoup generator KILL
  [ "$(restarts appcoup)" = 'echo 0 generator 1 ' ] || fail "$(restarts appcoup)"
}

a_killed_echo_is_restarted_alone_and_loses_no_number() { restarts_alone echo send appcoup echo KILL; }

# Nothing but its liveness probe ends a container that hangs, and nothing but SIGKILL: status 137. (The event that says
# so may be missing: after 25 about a pod, the kubelet keeps the next to itself.)
a_hanging_generator_is_restarted_alone_by_its_liveness_probe() { hangs_and_is_restarted_alone generator; }
a_hanging_echo_is_restarted_alone_by_its_liveness_probe() { hangs_and_is_restarted_alone echo; }

hangs_and_is_restarted_alone() {
  local status
  restarts_alone "$1" send appcoup "$1" STOP
  status=$(k get pod appcoup -o jsonpath="{.status.containerStatuses[?(@.name=='$1')].lastState.terminated.exitCode}")
  [ "$status" = 137 ] || fail "$1 ended with $status"
}

deleted_and_applied_again_the_data_starts_anew() {
  k delete pod appcoup --timeout=120s
  SEED=5
  k set env --local -f app-pod.yaml -c generator GENERATOR_SEED="$SEED" GENERATOR_INTERVAL=200ms -o yaml | k apply -f -
  k wait --for=condition=Ready pod/appcoup --timeout=120s
  verified_lines appcoup 10 # from the first line on, of another sequence
}

own_namespace
check kubectl_apply_makes_it_ready
check port_forward_and_curl_print_numbers
check both_programs_log_what_they_do
check kubectl_delete_ends_both_with_status_0_within_the_grace_period
check a_killed_generator_is_restarted_alone_and_loses_no_number
check a_killed_echo_is_restarted_alone_and_loses_no_number
check a_hanging_generator_is_restarted_alone_by_its_liveness_probe
check a_hanging_echo_is_restarted_alone_by_its_liveness_probe
check deleted_and_applied_again_the_data_starts_anew
