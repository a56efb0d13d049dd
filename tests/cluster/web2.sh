# One pod, a web program and its database: what survives what.

at() { echo "http://$(node_address "$(k get pod web2 -o jsonpath='{.spec.nodeName}')"):8080"; }

# Asks web for $1, with more arguments of curl: through the node's port where that can be reached, as a reader would.
ask() {
  local path=$1; shift
  curl -fsS --max-time 10 "$@" "$(at)$path"
}

it_is_applied_and_answers_as_the_example_does() {
  kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=privileged --overwrite # for hostPort
  k apply -k deploy/web2
  k wait --for=condition=Ready pod/web2 --timeout=180s
  [ "$(ask /read)" = '{"success":"true","Lines":[]}' ] || fail "$(ask /read)"
  [ "$(ask /write -d '{"data":"firstline"}')" = '{"success": "true"}' ] || fail 'not written'
  [ "$(ask /read)" = '{"success":"true","Lines":[{"id":1,"data":"firstline"}]}' ] || fail "$(ask /read)"
  [ "$(ask /ping)" = '<html>ok</html>' ] || fail "$(ask /ping)"
}

after_quit_web_is_restarted_once_and_the_data_is_there() {
  local before
  before=$(restarts_of web)
  [ "$(ask /quit)" = '<html>ok</html>' ] || fail 'no answer to /quit'
  k wait pod/web2 --timeout=120s --for=jsonpath="{.status.containerStatuses[?(@.name==\"web\")].restartCount}=$((before + 1))"
  k wait --for=condition=Ready pod/web2 --timeout=120s
  [ "$(restarts_of db)" = 0 ] || fail 'the database was restarted, too'
  [[ $(ask /read) == *firstline* ]] || fail "$(ask /read)"
  [ "$(k get pod web2 -o jsonpath='{.status.containerStatuses[?(@.name=="web")].lastState.terminated.exitCode}')" = 0 ] || fail 'not status 0'
}

restarts_of() { k get pod web2 -o jsonpath="{.status.containerStatuses[?(@.name=='$1')].restartCount}"; }

a_killed_database_is_restarted_alone_and_the_data_is_there() {
  local before
  before=$(restarts_of web)
  k exec web2 -c db -- bash -c 'kill -INT 1'
  k wait pod/web2 --timeout=120s --for=jsonpath='{.status.containerStatuses[?(@.name=="db")].restartCount}=1'
  k wait --for=condition=Ready pod/web2 --timeout=120s
  [ "$(restarts_of web)" = "$before" ] || fail 'web was restarted, too'
  [[ $(ask /read) == *firstline* ]] || fail "$(ask /read)"
  ask /write -d '{"data":"secondline"}'
}

with_the_pod_the_data_is_gone() {
  k delete pod web2 --timeout=120s
  k apply -k deploy/web2
  k wait --for=condition=Ready pod/web2 --timeout=180s
  [ "$(ask /read)" = '{"success":"true","Lines":[]}' ] || fail "$(ask /read)"
}

own_namespace
check it_is_applied_and_answers_as_the_example_does
check after_quit_web_is_restarted_once_and_the_data_is_there
check a_killed_database_is_restarted_alone_and_the_data_is_there
check with_the_pod_the_data_is_gone
