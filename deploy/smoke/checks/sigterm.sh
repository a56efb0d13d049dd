# does a pod that ends get SIGTERM, and the time it asks for?
check_sigterm() {
  local pod line told='' log
  await_ready deployment/echo echo
  pod=$(pods_of echo | sed -n 1p)
  exec {log}< <(exec kubectl --namespace "$namespace" logs --follow --since=1s "$pod" 2>/dev/null)
  k delete pod "$pod" --wait=false >/dev/null
  while read -r -t "$PATIENCE" -u "$log" line; do # to the end of the log, which is that of the program
    [[ $line != *'stopping on SIGTERM'* ]] || told=$(date +%s%3N)
  done
  [ -n "$told" ] || fail 'it had no SIGTERM, or its log was lost'
  told=$(($(date +%s%3N) - told))
  await_ready deployment/echo echo
  [ "$told" -gt 4000 ] || fail "SIGTERM came, and $told ms later the end, though it drains for 5 s"
  echo "SIGTERM came, and $told ms later the end, of which 5 s to drain"
}
