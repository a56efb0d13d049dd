# The verdict on this cluster, which is a good one but for policies, and on one that is broken in each way.

# Runs it in namespace $1 as an account that has the rights of rights.yaml and no others; its table is in $WORK/$1.
verdict() {
  local place=$1
  shift
  KUBECTL=$(command -v kubectl) BROKEN=${BROKEN-} ACCOUNT=system:serviceaccount:$place:smoke PATH=$PWD/tests/cluster/smoke-broken:$PATH \
    deploy/smoke/run --namespace "$place" --junit "$WORK/$place.xml" "$@" >"$WORK/$place" 2>&1
}

place() { # a namespace of its own, with such an account
  NAMESPACE=$1 own_namespace
  kubectl --namespace "$1" create serviceaccount smoke
  kubectl --namespace "$1" apply -f deploy/smoke/rights.yaml
  kubectl --namespace "$1" create rolebinding smoke --role=smoke --serviceaccount="$1:smoke"
}

says() { grep -qE "^$2" "$WORK/$1" || fail "no $2 in: $(cat "$WORK/$1")"; } # $1's table

it_passes_with_the_least_rights_and_leaves_nothing_behind() {
  local check
  place "$NAMESPACE-good"
  NAMESPACE=$NAMESPACE-good make_volume keeper 65532
  verdict "$NAMESPACE-good" || true
  for check in start balance clocks fsync mirror names readiness rollout sigterm volume; do says "$NAMESPACE-good" "$check +ok "; done
  says "$NAMESPACE-good" 'policies +(ok .*enforced|FAILED .*NOT enforced)'
  nothing_is_left "$NAMESPACE-good"
  python3 -c 'import sys, xml.etree.ElementTree as x; assert len(x.parse(sys.argv[1]).getroot()) == 11' "$WORK/$NAMESPACE-good.xml"
}

nothing_is_left() {
  local left
  left=$(kubectl --namespace "$1" get deployments,daemonsets,jobs,services,persistentvolumeclaims,networkpolicies,pods -o name)
  [ -z "$left" ] || fail "left behind: $left"
}

it_finds_each_fault_of_a_broken_cluster() {
  local place=$NAMESPACE-broken
  place "$place"
  NAMESPACE=$place make_volume keeper 65532 # unused, but a claim without one would be a trouble of its own
  ! BROKEN=yes verdict "$place" || fail 'it passes'
  says "$place" 'start +ok '
  says "$place" 'balance +FAILED .*one got none'
  says "$place" 'clocks +FAILED .*ahead of'
  says "$place" 'fsync +FAILED .*of 500 lines'
  says "$place" 'mirror +FAILED .*line 1'
  says "$place" 'readiness +FAILED .*never ready'
  says "$place" 'rollout +FAILED .*requests failed'
  says "$place" 'sigterm +FAILED .*ms later the end, though'
  says "$place" 'volume +FAILED .*of 500 lines'
  nothing_is_left "$place"
}

it_finds_that_names_are_not_known() {
  place "$NAMESPACE-nameless"
  ! BROKEN=names verdict "$NAMESPACE-nameless" names || fail 'it passes'
  says "$NAMESPACE-nameless" '(start|names) +FAILED .*(lookup|name)'
}

it_says_within_two_minutes_that_an_image_is_missing() {
  local began=$SECONDS
  place "$NAMESPACE-imageless"
  ! BROKEN=images verdict "$NAMESPACE-imageless" || fail 'it passes'
  says "$NAMESPACE-imageless" 'start +FAILED .*(ErrImage|ImagePull)'
  says "$NAMESPACE-imageless" 'names +skipped .*do not start'
  [ $((SECONDS - began)) -lt 120 ] || fail "after $((SECONDS - began)) s"
}

it_says_within_two_minutes_that_the_quota_is_full() {
  local began=$SECONDS
  place "$NAMESPACE-full"
  kubectl --namespace "$NAMESPACE-full" create quota full --hard=pods=2
  ! verdict "$NAMESPACE-full" || fail 'it passes'
  says "$NAMESPACE-full" 'start +FAILED .*exceeded quota'
  [ $((SECONDS - began)) -lt 120 ] || fail "after $((SECONDS - began)) s"
}

it_does_not_touch_a_coupling_that_is_there() {
  place "$NAMESPACE-taken"
  kubectl --namespace "$NAMESPACE-taken" apply -k deploy/pod # its policy is no matter; a Service would be
  kubectl --namespace "$NAMESPACE-taken" apply -k deploy/service/echo
  kubectl --namespace "$NAMESPACE-taken" label service echo app.kubernetes.io/part-of=appcoup
  ! verdict "$NAMESPACE-taken" || fail 'it runs'
  grep -q 'has a coupling in it already' "$WORK/$NAMESPACE-taken" || fail "$(cat "$WORK/$NAMESPACE-taken")"
  kubectl --namespace "$NAMESPACE-taken" get service echo
}

in_a_row() { # tests, one after another, beside other rows: most of their time they wait
  local test
  WORK=$(mktemp -d -p "$WORK")
  for test; do check "$test"; done
}

in_a_row it_passes_with_the_least_rights_and_leaves_nothing_behind it_does_not_touch_a_coupling_that_is_there &
in_a_row it_finds_each_fault_of_a_broken_cluster &
in_a_row it_finds_that_names_are_not_known it_says_within_two_minutes_that_an_image_is_missing it_says_within_two_minutes_that_the_quota_is_full &
wait
