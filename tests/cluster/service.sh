# A Service between one writer and three mirrors, and clients that follow through the mirrors all the while.

. tests/cluster/poll.sh
. tests/cluster/follow.sh

goes_on() { ! cmp "$1" "$2" 2>/dev/null | grep differ; } # one mirror may be a line behind another, but never of another mind

the_mirrors_are_ready_with_the_file() {
  make_volume numbers-numbers-0 65532
  k apply -k tests/cluster/service
  k rollout status statefulset/numbers --timeout=120s
  k rollout status deployment/echo --timeout=120s
  [ "$(restarts_of_all)" = '0 0 0 0 0 ' ] || fail "restarts: $(restarts_of_all)"
  [ "$(generation_at services/echo:http)" = "$(generation_at services/numbers:http)" ] || fail 'another generation'
  k exec deployment/echo -- /echo check http://echo:8000/data # through the Service, from inside
}

restarts_of_all() { k get pods -o jsonpath='{range .items[*].status.containerStatuses[*]}{.restartCount} {end}'; }

# Does "$@", and wants the clients served throughout, with each number that was generated meanwhile.
while_clients_follow() {
  local lines generation
  generation=$(generation_at services/echo:http)
  lines=$(verified_lines numbers-0)
  "$@"
  verified_lines numbers-0 $((lines + 10))
  await_line $((lines + 10))
  await_polls 10
  no_request_failed
  [ "$(generation_at services/echo:http)" = "$generation" ] || fail 'the file was begun anew'
}

roll() {
  k rollout restart "$1"
  k rollout status "$1" --timeout=180s
}

roll_alone() { # $1; the pods of $2 stay
  local pods
  pods=$(pods_of "$2")
  roll "$1"
  [ "$(pods_of "$2")" = "$pods" ] || fail "$2 was replaced too"
}

end_alone() { # container $1 of numbers-0; $2 is the other
  local before after
  before=$(restarts_in_numbers "$2") after=$(($(restarts_in_numbers "$1") + 1))
  send numbers-0 "$1" KILL
  k wait pod/numbers-0 --timeout=120s --for=jsonpath="{.status.containerStatuses[?(@.name==\"$1\")].restartCount}=$after"
  k wait pod/numbers-0 --timeout=120s --for=condition=Ready
  [ "$(restarts_in_numbers "$2")" = "$before" ] || fail "$2 was restarted too"
}

restarts_in_numbers() { k get pod numbers-0 -o jsonpath="{.status.containerStatuses[?(@.name=='$1')].restartCount}"; }

delete_one_at_a_time() {
  local pod
  for pod in $(pods_of echo); do
    k delete pod "$pod" --wait=false
    await ready_are 3 echo
  done
}

a_killed_generator_is_restarted_alone_and_no_request_fails() { while_clients_follow end_alone generator echo; }
a_killed_adapter_is_restarted_alone_and_no_request_fails() { while_clients_follow end_alone echo generator; }
the_writer_and_its_adapter_are_rolled_alone_and_no_request_fails() { while_clients_follow roll_alone statefulset/numbers echo; }
the_mirrors_are_rolled_alone_and_no_request_fails() { while_clients_follow roll_alone deployment/echo numbers; }
mirrors_are_deleted_one_at_a_time_and_no_request_fails() { while_clients_follow delete_one_at_a_time; }

# --- What is seen from outside

# The cluster's API at an address of this machine, without TLS: PROXY. What is STARTED ends with the test.
start_proxy() {
  local line
  coproc proxy { exec kubectl proxy --port=0; }
  # shellcheck disable=SC2154 # coproc sets it
  read -r -t 60 line <&"${proxy[0]}" || fail 'kubectl proxy does not start'
  PROXY=http://${line##* }
  STARTED=("$proxy_PID")
  trap 'kill "${STARTED[@]}" 2>/dev/null' EXIT
}

a_browser_sees_which_pod_answers_instead_of_a_deleted_one_and_loses_no_line() {
  local said
  start_proxy
  said=$(tests/page/run --service "$PROXY/api/v1/namespaces/$NAMESPACE/services/echo:http/proxy/" "$NAMESPACE") || fail "$said"
  [[ $said != skipped:* ]] || skip "${said#skipped: }"
  echo "$said"
  await ready_are 3 echo
}

a_Prometheus_scrapes_every_pod_and_understands_the_alerts() {
  command -v prometheus promtool >/dev/null || { [ "${CI-}" != true ] || fail 'there is no prometheus'; skip 'there is no prometheus'; }
  local pods job pod prometheus address
  await ready_are 3 echo
  start_proxy
  sed -n '/^spec:/,$ s/^  //p' deploy/monitoring/rules.yaml >"$WORK/rules.yaml" # as Prometheus itself takes them
  # Debian's Prometheus can't ask Kubernetes, as the operator has it do for deploy/monitoring/service-monitor.yaml: so here are the
  # pods behind the Services that it selects, reached through the API.
  {
    echo 'global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}'
    echo 'rule_files: [rules.yaml]'
    echo 'scrape_configs: [{job_name: pods, static_configs: ['
    for job in echo numbers; do
      for pod in $(pods_of "$job"); do
        echo "  {targets: ['${PROXY#http://}'], labels: {job: $job, instance: $pod, __metrics_path__: '/api/v1/namespaces/$NAMESPACE/pods/$pod:8000/proxy/metrics'}},"
      done
    done
    echo ']}]'
  } >"$WORK/prometheus.yaml"
  exec {prometheus}< <(exec prometheus --config.file="$WORK/prometheus.yaml" --storage.tsdb.path="$WORK/prometheus" --web.listen-address=127.0.0.1:0 2>&1)
  STARTED+=($!)
  address=$(grep -m 1 -oP 'Listening on.*address=\K[0-9.:]+' <&"$prometheus") || fail "prometheus does not start: $(promtool check config "$WORK/prometheus.yaml" 2>&1)"
  cat <&"$prometheus" >/dev/null &
  pods=$(pods_of echo; pods_of numbers)
  await_answer "$pods" 'up == 1'
  await_answer "$(pods_of echo)" 'echo_upstream_lag_seconds < 30'
  await_answer "$(pods_of echo)" 'increase(echo_upstream_delay_seconds_count[10s]) > 0'
  await_answer '' 'ALERTS{alertstate="firing"}'
  await_health 3
}

# Waits until the pods of which the query $2 is true are those of $1.
await_answer() {
  local end=$((SECONDS + 90)) said
  until said=$(promtool query instant "http://$address" "$2" | { grep -oP 'instance="\K[^"]*' || true; } | sort) && [ "$said" = "$(sort <<<"$1")" ]; do
    [ $SECONDS -lt $end ] || fail "$2: $said"
    sleep 1
  done
}

await_health() { # of so many alerts
  local end=$((SECONDS + 60)) said
  until said=$(curl -sS "http://$address/api/v1/rules" | grep -o '"health":"[a-z]*"' | sort | uniq -c) && [[ $said =~ ^\ *$1\ \"health\":\"ok\"$ ]]; do
    [ $SECONDS -lt $end ] || fail "rules: $said"
    sleep 1
  done
}

# --- The smoke test

# Applies $1 and waits for the Job's pod to end as $2 says: Succeeded or Failed. Prints the log.
smoke() {
  k delete job smoke --ignore-not-found
  k apply -k "$1"
  k wait pod -l job-name=smoke --for=create --timeout=60s
  k wait pod -l job-name=smoke --for=jsonpath='{.status.phase}'="$2" --timeout=60s || fail "$(k logs job/smoke | tail -n 1)"
  k logs job/smoke | tee "$WORK/smoke"
  k get pod -l job-name=smoke -o jsonpath='{.items[0].status.containerStatuses[0].state.terminated.message}' >"$WORK/message"
  k delete -k "$1" >/dev/null
}

the_smoke_test_passes() {
  smoke deploy/smoke Succeeded
  grep -E '^[0-9]+ lines are right$' "$WORK/smoke" || fail "$(cat "$WORK/smoke")"
}

it_fails_with_the_reason() { # a pattern, in the log and in the pod's status
  smoke tests/cluster/smoke Failed
  grep -E "$1" "$WORK/smoke" || fail "no word of $1 in the log: $(cat "$WORK/smoke")"
  grep -E "$1" "$WORK/message" || fail "no word of $1 in the status: $(cat "$WORK/message")"
}

it_fails_with_the_reason_where_a_Service_leads_nowhere_and_the_mirrors_serve_on() {
  k patch service numbers --type=json -p '[{"op": "add", "path": "/spec/selector/no", "value": "pod"}]'
  it_fails_with_the_reason 'refused'
  k patch service numbers --type=json -p '[{"op": "remove", "path": "/spec/selector/no"}]'
  no_request_failed
}

it_fails_with_the_reason_where_a_name_is_not_known() {
  k delete service numbers
  it_fails_with_the_reason '(lookup|known).*numbers'
  k apply -k tests/cluster/service
}

what_the_clients_read_is_what_was_generated() {
  local file lines said
  await no_pod_is_ending
  stop_polling
  stop_following
  no_request_failed
  for file in polled followed; do
    cp "$WORK/$file" "$WORK/read" # as it is now: the last answer may still be on its way
    lines=$(wc -l <"$WORK/read")
    said=$(k exec -i numbers-0 -c generator -- /generator verify --seed "$SEED" --lines "$lines" /dev/stdin <"$WORK/read") || fail "$file: $said"
    [[ $said == "$lines lines are right"* ]] || fail "$file: of $lines lines: $said"
    echo "$file: $said, by $(wc -l <"$WORK/$file.answers") answers, beside $(wc -l <"$WORK/polls") requests"
  done
}

own_namespace
check the_mirrors_are_ready_with_the_file
start_polling
start_following
check the_smoke_test_passes
check a_killed_generator_is_restarted_alone_and_no_request_fails
check a_killed_adapter_is_restarted_alone_and_no_request_fails
check the_mirrors_are_rolled_alone_and_no_request_fails
check the_writer_and_its_adapter_are_rolled_alone_and_no_request_fails
check mirrors_are_deleted_one_at_a_time_and_no_request_fails
check a_browser_sees_which_pod_answers_instead_of_a_deleted_one_and_loses_no_line
check a_Prometheus_scrapes_every_pod_and_understands_the_alerts
check it_fails_with_the_reason_where_a_Service_leads_nowhere_and_the_mirrors_serve_on
check it_fails_with_the_reason_where_a_name_is_not_known
check what_the_clients_read_is_what_was_generated
