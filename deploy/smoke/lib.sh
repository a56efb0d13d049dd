# lib.sh: what the checks share. A check is a function that prints a reason last, and fails if the cluster does.

PATIENCE=90 # seconds for a pod to start, an answer to change, a claim to be bound

k() { timeout "$((PATIENCE + 30))" kubectl --namespace "$namespace" "$@"; }
fail() { echo "$*"; exit 1; }
last_line() { grep -v '^[[:space:]]*$' "$1" | tail -n 1; }
every_check() { (cd "$smoke/checks" && echo names *.sh | sed 's/ \(start\|names\)\.sh//g; s/\.sh//g'); } # names first: most need them
objects() { kubectl kustomize "$smoke/objects"; }

# A namespace, and in it all objects: whatever is slow to start does so while the first checks run.
begin() {
  {
    if [ -z "$namespace" ]; then
      namespace=appcoup-smoke-$(printf '%x' "$(date +%s)")
      kubectl create namespace "$namespace" --request-timeout=20s || return
      made_namespace=yes
      kubectl wait --for=create serviceaccount/default --namespace "$namespace" --timeout=30s || return
    elif found=$(k get deployments,services,persistentvolumeclaims -l app.kubernetes.io/part-of=appcoup -o name) && [ -n "$found" ]; then
      echo "namespace $namespace has a coupling in it already: $(tr '\n' ' ' <<<"$found")"
      namespace='' # not ours to clean up
      return 1
    fi
    objects >"$work/objects.yaml" && k apply -f "$work/objects.yaml"
  } >"$work/begin" 2>&1
}

# Leaves nothing behind, whatever happened before.
clean_up() {
  [ -n "$namespace" ] || return 0
  if [ -n "${made_namespace-}" ]; then
    kubectl delete namespace "$namespace" --timeout=120s >/dev/null 2>&1 || echo "run: namespace $namespace is not gone yet" >&2
  else
    k delete -k "$smoke" --ignore-not-found --wait=false >/dev/null 2>&1
    k delete -f "$work/objects.yaml" --ignore-not-found --timeout=60s >/dev/null 2>&1
    k delete networkpolicy wall --ignore-not-found >/dev/null 2>&1
    k wait pods -l app.kubernetes.io/part-of=appcoup --for=delete --timeout=110s >/dev/null 2>&1 || true
  fi
  namespace=''
}

run_check() {
  local name=$1 began=$SECONDS result=ok
  printf '%-10s %s\n' "$name" "$(sed -n '1s/^# //p' "$smoke/checks/$name.sh")" >&2
  (set -e; . "$smoke/checks/$name.sh"; "check_$name") >"$work/$name.said" 2>&1
  [ $? = 0 ] || result=FAILED # not by ||, which would switch set -e off in there
  note "$name" "$result" "$(last_line "$work/$name.said")" $((SECONDS - began))
}

# Waits until "$@" is true, for at most PATIENCE seconds.
await() {
  local deadline=$((SECONDS + PATIENCE))
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 1
  done
}

# Waits until workload $1 is rolled out, or says why its pods, those of the label name $2, do not start.
await_ready() {
  local deadline=$((SECONDS + PATIENCE)) reason
  until k rollout status "$1" --timeout=3s >/dev/null 2>&1; do
    reason=$(trouble_of "$2")
    case $reason in
      *ErrImage* | *ImagePull* | *InvalidImage* | *exceeded\ quota* | *forbidden* | *'no storage class is set'*) fail "$1: $reason" ;;
    esac
    [ "$SECONDS" -lt "$deadline" ] || fail "$1 is not ready after $PATIENCE s: ${reason:-its pods run, and their probes fail}"
  done
}

# Why the pods named $1 do not run: what a container waits for, or their claim, the scheduler, whoever makes
# them, or they themselves.
trouble_of() {
  local each
  each=$(k get pods -l "app.kubernetes.io/name=$1" -o jsonpath='{range .items[*].status.containerStatuses[*]}{.state.waiting.reason}{" "}{.state.waiting.message}{"\n"}{end}' |
    grep -v -e '^ *$' -e ContainerCreating -e PodInitializing | head -n 1)
  [ -n "$each" ] || each=$(k get events --field-selector "involvedObject.name=$1,involvedObject.kind=PersistentVolumeClaim" -o jsonpath='{range .items[*]}claim: {.message}{"\n"}{end}' | grep -v 'waiting for' | tail -n 1)
  [ -n "$each" ] || each=$(k get pods -l "app.kubernetes.io/name=$1" -o jsonpath='{range .items[*]}{.status.conditions[?(@.reason=="Unschedulable")].message}{"\n"}{end}' | grep -m 1 .)
  [ -n "$each" ] || each=$(k get events --field-selector type=Warning -o jsonpath="{range .items[?(@.reason==\"FailedCreate\")]}{.involvedObject.name} {.message}{\"\n\"}{end}" | grep -m 1 "^$1")
  [ -n "$each" ] || each=$(k logs -l "app.kubernetes.io/name=$1" --tail=20 2>/dev/null | grep -w -e WARN -e ERROR | tail -n 1)
  echo "$each"
}

pods_of() { k get pods -l "app.kubernetes.io/name=$1" -o go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}'; }

# One GET by a pod that is no part of what is tried; it says why it failed.
get() {
  local said
  said=$(k exec deployment/client -- /echo check "http://$1" 2>&1) || { grep -v '^command terminated' <<<"$said" | tail -n 1; return 1; }
}
cannot_get() { ! get "$1" >/dev/null 2>&1; }

# Writes 500 lines to file $1 of the claim, syncing each; ends the pod by `kubectl delete pod "${@:2}"`, and wants all of
# them there for its successor.
keeps_over() {
  local said old file=$1
  shift
  await_ready deployment/keeper keeper
  old=$(pods_of keeper)
  said=$(in_keeper --file "$file" --interval 0s --count 500 --sync) || fail "cannot write: $said"
  k delete pod "$old" "$@" >/dev/null 2>&1
  await keeper_follows "$old" || fail "no pod came in the place of the old one within $PATIENCE s"
  await_ready deployment/keeper keeper
  said=$(in_keeper verify --lines 500 --timeout 2s "$file") || fail "of 500 lines, afterwards: $said"
}

keeper_follows() { local new; new=$(pods_of keeper); [[ -n $new && $new != "$1" ]]; } # pod $1

in_keeper() { # runs the generator with a seed, and prints its last word
  local said
  said=$(k exec deployment/keeper -c generator -- /generator "$@" --seed 4 2>&1) || { grep -v '^command terminated' <<<"$said" | tail -n 1; return 1; }
}
