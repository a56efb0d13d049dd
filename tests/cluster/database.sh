# Numbers that go on to a database: what survives what, and that each is a row exactly once.

sql() { k exec postgres-0 -- psql -U web -d web -qAtc "$1"; }

api() { # what web answers to a GET, as soon as one that is ready is behind the Service
  local deadline=$((SECONDS + 60))
  until kubectl get --raw "/api/v1/namespaces/$NAMESPACE/services/web:http/proxy$1" >"$WORK/answer"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.5
  done
  cat "$WORK/answer"
}

field() { api /readyz | sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p"; }

# The number of lines that are stored: all of them are right, as `generator verify` finds, and none is there twice.
stored_lines() {
  local generation said twice
  generation=$(field generation)
  api "/read?generation=$generation" >"$WORK/stored"
  said=$(k exec -i numbers-0 -c generator -- /generator verify --seed "$SEED" /dev/stdin <"$WORK/stored") || fail "generator verify: $said"
  twice=$(sql "SELECT count(*) - count(DISTINCT start) FROM lines WHERE generation = '$generation'")
  [ "$twice" = 0 ] || fail "$twice lines are there twice"
  echo "${said%% *}"
}

await_stored() { # $1 lines
  local deadline=$((SECONDS + 120)) stored=0
  while [ "$stored" -lt "$1" ]; do
    [ $SECONDS -lt $deadline ] || fail "only $stored lines are stored"
    sleep 0.5
    stored=$(sql 'SELECT count(*) FROM lines WHERE start IS NOT NULL') || stored=0
  done
}

# Does "$@", and wants the numbers to go on and be stored.
while_numbers_come() {
  local before
  before=$(verified_lines numbers-0)
  "$@"
  verified_lines numbers-0 $((before + 20))
  await_stored $((before + 20))
  [ "$(stored_lines)" -ge $((before + 20)) ] || fail 'not all is there'
}

each_number_becomes_a_row() {
  make_volume numbers-numbers-0 65532
  make_volume postgres-postgres-0 999 1Gi
  k apply -k tests/cluster/database
  k rollout status statefulset/postgres --timeout=180s
  k rollout status deployment/web --timeout=180s
  await_stored 20
  stored_lines
  [ "$(sql "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7824739")" = 1 ] || fail 'not one follower'
}

what_curl_and_psql_show_is_the_same() {
  local first
  first=$(api '/read?limit=1')
  [ "$first" = "{\"success\":\"true\",\"Lines\":[{\"id\":1,\"data\":\"$(sql 'SELECT data FROM lines WHERE id = 1')\"}]}" ] || fail "$first"
  [[ $(api /readyz) == *'"lag_bytes":'*'"ready":true'* ]] || fail "$(api /readyz)"
}

delete_the_follower() { k delete pod "$(field follower)" --grace-period=0 --force; }

kill_the_database() {
  send postgres-0 db KILL
  k wait pod/postgres-0 --timeout=120s --for=condition=Ready=False || true
  k wait pod/postgres-0 --timeout=180s --for=condition=Ready
}

delete_the_database_pod() {
  k delete pod postgres-0 --timeout=120s
  k rollout status statefulset/postgres --timeout=180s
}

roll_web() {
  k rollout restart deployment/web
  k rollout status deployment/web --timeout=180s
}

another_takes_over_when_the_follower_is_deleted() { while_numbers_come delete_the_follower; }
nothing_is_lost_when_the_database_is_killed() { while_numbers_come kill_the_database; }
nothing_is_lost_when_the_database_pod_is_deleted() { while_numbers_come delete_the_database_pod; }
nothing_is_lost_when_web_is_rolled() { while_numbers_come roll_web; }

with_the_claim_the_data_is_gone_and_comes_again_from_the_file() {
  k scale statefulset/postgres --replicas=0
  k wait pod/postgres-0 --for=delete --timeout=120s
  k delete pvc postgres-postgres-0 --timeout=60s
  remove_volumes "$NAMESPACE" postgres
  make_volume postgres-postgres-0 999 1Gi
  k scale statefulset/postgres --replicas=1
  k rollout status statefulset/postgres --timeout=180s
  await_stored "$(verified_lines numbers-0)"
  stored_lines
}

own_namespace
check each_number_becomes_a_row
check what_curl_and_psql_show_is_the_same
check another_takes_over_when_the_follower_is_deleted
check nothing_is_lost_when_the_database_is_killed
check nothing_is_lost_when_the_database_pod_is_deleted
check nothing_is_lost_when_web_is_rolled
check with_the_claim_the_data_is_gone_and_comes_again_from_the_file
