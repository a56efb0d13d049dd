# A claim between one generator and several echoes, and a client that polls through the Service all the while.

. tests/cluster/poll.sh

echoes_are_alive_but_not_ready_before_the_file_exists() {
  make_volume numbers 65532
  k apply -k tests/cluster/volume # with no generator yet
  k wait --for=create pod -l app.kubernetes.io/name=echo --timeout=60s
  k wait pod -l app.kubernetes.io/name=echo --for=jsonpath='{.status.containerStatuses[0].started}'=true --timeout=120s
  k exec deployment/echo -- /echo check http://localhost:8000/healthz
  ! k exec deployment/echo -- /echo check || fail 'ready without a file'
  [ "$(k get deployment echo -o jsonpath='{.status.readyReplicas}')" = '' ] || fail 'ready without a file'
}

they_are_ready_as_soon_as_generator_has_made_it() {
  k scale deployment/generator --replicas=1
  k rollout status deployment/echo --timeout=120s
  k rollout status deployment/generator --timeout=120s
  [ "$(restarts_of_all)" = '0 0 0 0 ' ] || fail "restarts: $(restarts_of_all)"
  verified_lines deployment/generator 10
}

restarts_of_all() { k get pods -o jsonpath='{range .items[*].status.containerStatuses[*]}{.restartCount} {end}'; }

# Does "$@", and wants the client served throughout, and every number there.
while_a_client_polls() {
  local lines faults
  faults=$(wc -l <"$WORK/faults")
  lines=$(verified_lines deployment/generator)
  "$@"
  verified_lines deployment/generator $((lines + 10))
  await_polls 10
  no_poll_failed_after "$faults"
}

roll() {
  k rollout restart "deployment/$1"
  k rollout status "deployment/$1" --timeout=180s
}

roll_alone() {
  local pods
  pods=$(pods_of "$2")
  roll "$1"
  [ "$(pods_of "$2")" = "$pods" ] || fail "$2 was replaced too"
}

delete_one_at_a_time() {
  local pod
  for pod in $(pods_of echo); do
    k delete pod "$pod" --wait=false
    await ready_are 3 echo
  done
}

delete_generator() {
  k delete pod "$(pods_of generator)" --wait=false
  await ready_are 1 generator
}

scale_up_and_down() {
  k scale deployment/echo --replicas=5
  await ready_are 5 echo
  await_polls 10
  k scale deployment/echo --replicas=3
  await ready_are 3 echo
}

generator_is_rolled_alone_and_no_request_fails() { while_a_client_polls roll_alone generator echo; }
echo_is_rolled_alone_and_no_request_fails() { while_a_client_polls roll_alone echo generator; }
echo_pods_are_deleted_one_at_a_time_and_no_request_fails() { while_a_client_polls delete_one_at_a_time; }
the_generator_pod_is_deleted_and_no_request_fails() { while_a_client_polls delete_generator; }
echo_is_scaled_to_5_and_back_and_no_request_fails() { while_a_client_polls scale_up_and_down; }

what_the_client_read_is_what_was_generated() {
  local lines said
  await no_pod_is_ending
  stop_polling
  no_poll_failed_after 0
  lines=$(wc -l <"$WORK/last")
  said=$(k exec -i deployment/generator -- /generator verify --seed "$SEED" --lines "$lines" /dev/stdin <"$WORK/last") || fail "$said"
  [[ $said == "$lines lines are right" ]] || fail "of $lines lines: $said"
  echo "$(wc -l <"$WORK/polls") requests"
}

the_data_outlives_all_pods() {
  local lines generation
  lines=$(verified_lines deployment/generator)
  generation=$(generation_at services/echo:http)
  k scale deployment/generator deployment/echo --replicas=0
  k wait --for=delete pod --all --timeout=120s
  k scale deployment/generator deployment/echo --replicas=1
  k rollout status deployment/generator --timeout=120s
  k rollout status deployment/echo --timeout=120s
  [ "$(generation_at services/echo:http)" = "$generation" ] || fail 'the file was begun anew'
  verified_lines deployment/generator $((lines + 10))
}

own_namespace
check echoes_are_alive_but_not_ready_before_the_file_exists
check they_are_ready_as_soon_as_generator_has_made_it
start_polling
check generator_is_rolled_alone_and_no_request_fails
check echo_is_rolled_alone_and_no_request_fails
check echo_pods_are_deleted_one_at_a_time_and_no_request_fails
check the_generator_pod_is_deleted_and_no_request_fails
check echo_is_scaled_to_5_and_back_and_no_request_fails
check what_the_client_read_is_what_was_generated
check the_data_outlives_all_pods
