# poll.sh: the client. It asks for /data through the Service again and again, and notes each answer that is not 200, not
# whole, or does not go on where the one before it ended.
#
# Through the Service means: to the node port that the test gives it, at the node's own address, so that kube-proxy (or
# what stands for it) picks the pod of each connection, as it does for a cluster's inside. A port-forward would not do:
# it picks one pod and stays with it.

start_polling() {
  touch "$WORK/last" "$WORK/polls" "$WORK/faults"
  poll "http://$(node_port echo)/data" &
  POLLER=$!
}

# Groups of 4 requests on one connection, so that both a fresh and a reused one meet whatever happens to the pods.
poll() {
  local body code status message
  while [ -d "$WORK" ]; do
    curl -sS --max-time 10 --rate 200/s -w '%{exitcode} %{http_code} %{errormsg}\n' \
      -o "$WORK/1" "$1" -o "$WORK/2" "$1" -o "$WORK/3" "$1" -o "$WORK/4" "$1" >"$WORK/answers" 2>/dev/null
    for body in 1 2 3 4; do
      read -r code status message
      echo "$code $status $message" >>"$WORK/polls"
      if [ "$code $status" != '0 200' ]; then
        echo "$(date +%T) status $status, curl $code: $message" >>"$WORK/faults"
      elif ! goes_on "$WORK/last" "$WORK/$body"; then
        echo "$(date +%T) an answer does not go on from the one before it" >>"$WORK/faults"
      else
        mv "$WORK/$body" "$WORK/last"
      fi
    done <"$WORK/answers"
  done
}

goes_on() { cmp -s -n "$(stat -c %s "$1")" "$1" "$2"; } # whether $2 begins with $1

await_polls() { # $1 more of them
  local seen=0
  while read -r -t 30; do
    seen=$((seen + 1))
    [ "$seen" -lt "$1" ] || return 0
  done < <(tail -f -n 0 "$WORK/polls")
  fail 'the client stands still'
}

no_poll_failed_after() { # the first $1 faults
  local faults
  faults=$(wc -l <"$WORK/faults")
  (( faults == $1 )) || fail "$((faults - $1)) requests failed: $(tail -n "+$(($1 + 1))" "$WORK/faults" | head -n 1)"
}

stop_polling() { kill "$POLLER"; }
