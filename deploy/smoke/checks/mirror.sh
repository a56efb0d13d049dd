# does each number come from one pod's file to another's, once and in order?
check_mirror() {
  local ended
  k delete -k "$smoke" --ignore-not-found >/dev/null
  k apply -k "$smoke" >/dev/null
  await ended_job || fail "the Job has not ended after $PATIENCE s: $(trouble_of smoke)"
  ended=$(k logs job/smoke 2>&1 | grep -v -e ' INFO ' | tail -n 1)
  [ "$(k get job smoke -o jsonpath='{.status.succeeded}')" = 1 ] || fail "$ended"
  echo "$ended"
}

ended_job() { [ -n "$(k get job smoke -o jsonpath='{.status.conditions[*].type}')" ]; }
