# do the clocks of the nodes agree within a second?
check_clocks() {
  local pod node offset slow fast least='' most='' nodes=0
  await_clocks
  while read -r pod node; do
    offset=$(offset_of "$pod") || fail "$node says no time"
    nodes=$((nodes + 1))
    [[ -n $least && $offset -ge $least ]] || { least=$offset; slow=$node; }
    [[ -n $most && $offset -le $most ]] || { most=$offset; fast=$node; }
  done < <(k get pods -l app.kubernetes.io/name=clock -o jsonpath='{range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}')
  [ $((most - least)) -le 1000 ] || fail "$fast is $((most - least)) ms ahead of $slow"
  [ "$nodes" -gt 1 ] || { echo 'there is one node, so nothing to compare'; return; }
  echo "$nodes nodes within $((most - least)) ms"
}

await_clocks() { k rollout status daemonset/clock --timeout="${PATIENCE}s" >/dev/null || fail "$(trouble_of clock)"; }

# How far the clock of pod $1's node is ahead of this machine's, in ms: the middle of the shortest of five looks at it.
offset_of() {
  local i before after there shortest='' offset
  for i in 1 2 3 4 5; do
    before=$(date +%s%3N)
    there=$(k exec "$1" -- /generator --file "clock$i" --count 1 2>&1 </dev/null | sed -n '1s/ .*//p')
    after=$(date +%s%3N)
    there=$(date -d "$there" +%s%3N)
    [[ -n $shortest && $((after - before)) -ge $shortest ]] || { shortest=$((after - before)) offset=$((there - (before + after) / 2)); }
  done
  echo "$offset"
}
