# follow.sh: the clients that follow the file through the Service of the mirrors, at the node port that the test gives it.
# What each has read must be the file at the end, without a gap or a line twice, whichever mirrors it came from.
#
# One asks for what is next again and again (long-polls), so that a new connection meets whatever happens to the pods;
# the other keeps an answer open as long as it lasts (`tail -f`). Both go on where the last answer ended.

start_following() {
  local url
  url="http://$(node_port echo)/data"
  touch "$WORK"/{polled,followed,faults}
  read_on polled "$url?live=long-poll" &
  FOLLOWERS=($!)
  read_on followed "$url?follow" &
  FOLLOWERS+=($!)
}

# Appends what $2 answers to the file $1, for ever, and notes each answer that is not whole or neither 200 nor 204.
read_on() {
  local offset=-1 code status message generation
  trap 'kill $!; exit' TERM
  while [ -d "$WORK" ]; do
    curl -sfN --speed-limit 1 --speed-time 60 -D "$WORK/$1.head" -w '%{stderr}%{exitcode} %{http_code} %{errormsg}\n' \
      "$2&offset=$offset" >>"$WORK/$1" 2>"$WORK/$1.end" &
    wait $!
    read -r code status message <"$WORK/$1.end"
    echo "$code $status" >>"$WORK/$1.answers"
    if [[ "$code $status" != '0 200' && "$code $status" != '0 204' ]]; then
      echo "$(date +%T) $1: status $status, curl $code: $message" >>"$WORK/faults"
      sleep 0.2
    fi
    # An offset is a generation and a number of bytes: those that are here.
    generation=$(sed -n 's/^stream-next-offset: *\([^_]*\)_.*/\1/Ip' "$WORK/$1.head")
    [ -z "$generation" ] || offset=${generation}_$(printf %020d "$(stat -c %s "$WORK/$1")")
  done
}

await_line() { # number $1, at both clients
  local file
  for file in polled followed; do
    grep -q -m 1 . < <(timeout 60 tail -n "+$1" -f "$WORK/$file") || fail "line $1 has not come ($file); faults: $(cat "$WORK/faults")"
  done
}

no_request_failed() { [ ! -s "$WORK/faults" ] || fail "$(wc -l <"$WORK/faults") requests failed: $(head -n 1 "$WORK/faults")"; }

stop_following() { kill "${FOLLOWERS[@]}"; }
