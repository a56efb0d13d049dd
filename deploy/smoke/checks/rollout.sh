# does a rolling update lose no request?
check_rollout() {
  local gets
  await_ready deployment/echo echo
  : >"$work/gets"
  poll & gets=$!
  k rollout restart deployment/echo >/dev/null
  k rollout status deployment/echo --timeout="${PATIENCE}s" >/dev/null || { kill "$gets"; fail "the rollout has not ended after $PATIENCE s: $(trouble_of echo)"; }
  sleep 6 # until the last of the old ones, which drains for 5 s, is gone
  kill "$gets"; wait "$gets" 2>/dev/null || true
  ! grep -q . "$work/gets.failed" || fail "$(wc -l <"$work/gets.failed") of $(wc -l <"$work/gets") requests failed: $(head -n 1 "$work/gets.failed")"
  [ "$(wc -l <"$work/gets")" -ge 10 ] || fail "only $(wc -l <"$work/gets") requests could be made"
  echo "$(wc -l <"$work/gets") requests, none failed"
}

poll() { # one request after another, each on a connection of its own
  local said
  : >"$work/gets.failed"
  while true; do
    said=$(get echo:8000/data 2>&1) || grep -v '^command terminated' <<<"$said" | head -n 1 >>"$work/gets.failed"
    echo >>"$work/gets"
  done
}
