# lib.sh: what the tracks share. Each runs under the name TRACK, with a NAMESPACE and a folder WORK of its own.

SEED=4 # as in the overlays beside this file

k() { kubectl --namespace "$NAMESPACE" "$@"; }

fail() { echo "$*" >&2; exit 1; }
skip() { echo "$*" >&2; exit 77; }

# Runs a test, a function whose name is a sentence, and says how it ended. A failure shows what the test said last, and
# what the cluster says.
check() {
  local name="$TRACK: ${1//_/ }" began=$SECONDS status
  ( set -e; "$1" ) >"$WORK/said" 2>&1
  status=$?
  case $status in
    0) echo "ok - $name ($((SECONDS - began)) s)" ;;
    77) echo "skipped - $name: $(tail -n 1 "$WORK/said")" ;;
    *)
      echo "FAILED - $name: $(tail -n 1 "$WORK/said")"
      { tail -n 20 "$WORK/said"; [ -z "${NAMESPACE-}" ] || { k get pods -o wide; k get events --sort-by=.lastTimestamp | tail -n 12; }; } 2>&1 | sed 's/^/    /'
      ;;
  esac
}

# Makes NAMESPACE. A cluster that knows Pod Security (1.23 and later) holds every pod in it to `restricted`.
own_namespace() {
  kubectl create namespace "$NAMESPACE" >/dev/null &&
    kubectl label namespace "$NAMESPACE" "appcoup-test=$run" pod-security.kubernetes.io/enforce=restricted >/dev/null &&
    kubectl wait --for=create serviceaccount/default --namespace "$NAMESPACE" --timeout=60s >/dev/null
}

# The minor version of the server: 20 for 1.20.
server_minor() { kubectl version -o json | sed -n '/"serverVersion"/,$s/.*"minor": "\([0-9]*\).*/\1/p'; }

# The first minor version that deploy/FOLDER is for, as its kustomization says; 20 if it says nothing.
needs_minor() { local minor; minor=$(sed -n 's/.*Needs Kubernetes 1\.\([0-9]*\).*/\1/p' "deploy/$1/kustomization.yaml"); echo "${minor:-20}"; }

# The folders of deploy/ that can be applied.
couplings() { grep -l '^kind: Kustomization' deploy/*/kustomization.yaml | cut -d/ -f2; }

node_address() { kubectl get node "$1" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}'; }

this_machine_has() { [[ " $(hostname -I 2>/dev/null)" == *" $1 "* ]]; } # an address

# Runs the shell script on standard input on node $1: here, if this is the node, or in the container of its name.
on_node() {
  local address
  address=$(node_address "$1") || return
  if this_machine_has "$address"; then
    sh -s
  elif docker container inspect "$1" >/dev/null 2>&1; then
    docker exec -i "$1" sh -s
  else
    return 77
  fi
}

cannot_reach() { # or the script on the node failed: $1 is the status of on_node
  [ "$1" = 77 ] || fail "a script failed on the node ($1)"
  skip "the $2 cannot be reached from here"
}

# Sends signal $3 to the first process of container $2 of pod $1.
send() {
  local id node
  id=$(k get pod "$1" -o jsonpath="{.status.containerStatuses[?(@.name=='$2')].containerID}")
  node=$(k get pod "$1" -o jsonpath='{.spec.nodeName}')
  id=${id##*/}
  on_node "$node" <<SCRIPT || cannot_reach $? "processes of node $node"
for process in \$(grep -ls '${id:?}' /proc/[0-9]*/cgroup); do
  process=\${process%/cgroup}
  # The last number is the one inside the container: a probe that happens to run is not the first process there.
  grep -qs '^NSpid:.*[^0-9]1\$' "\$process/status" && exec kill -s $3 "\${process#/proc/}"
done
echo 'no such process' >&2
exit 1
SCRIPT
}

# How often each container of pod $1 was restarted: "echo 0 generator 0".
restarts() { k get pod "$1" -o jsonpath='{range .status.containerStatuses[*]}{.name} {.restartCount} {end}'; }

# The pods of $1 that are not ending already.
pods_of() { k get pods -l "app.kubernetes.io/name=$1" -o go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}'; }

ready_are() { # $1 pods of $2, and no others are left but those that are ending
  local ready
  ready=$(k get pods -l "app.kubernetes.io/name=$2" -o go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{range .status.conditions}}{{if eq .type "Ready"}}{{.status}} {{end}}{{end}}{{end}}{{end}}')
  [ "$ready" = "$(printf 'True %.0s' $(seq "$1"))" ]
}

# Waits until "$@" is true, and looks again whenever a pod has changed.
await() {
  local watch
  exec {watch}< <(exec kubectl --namespace "$NAMESPACE" get pods --watch -o name)
  while read -r -t 120 -u "$watch"; do
    ! "$@" || { kill $!; return 0; }
  done
  fail "waited too long for: $*"
}

no_pod_is_ending() { [ -z "$(k get pods -o go-template='{{range .items}}{{.metadata.deletionTimestamp}}{{end}}' | sed 's/<no value>//g')" ]; }

# The number of lines that generator wrote, all of which `generator verify` found right. $1 is the pod or deployment;
# given a number $2, it waits for so many lines.
verified_lines() {
  local said
  said=$(k exec "$1" -c generator -- /generator verify --seed "$SEED" ${2:+--lines "$2"} /tmp/out/data) || fail "generator verify: $said"
  echo "${said%% *}"
}

# What names the identity of the file that $1 serves (pods/appcoup:8000, services/echo:http): it stays while the file only
# grows, so a file that was begun anew shows, however long it has become meanwhile.
generation_at() {
  local said
  said=$(kubectl get --raw "/api/v1/namespaces/$NAMESPACE/$1/proxy/readyz") || fail "readyz: $said"
  [[ $said =~ \"generation\":\ *\"([^\"]+)\" ]] || fail "no generation: $said"
  echo "${BASH_REMATCH[1]}"
}

# What the Service $1 is reached at from outside: the first node's address and the node port, as "10.0.0.1:30000".
node_port() {
  echo "$(node_address "$(first_node)"):$(k get service "$1" -o jsonpath='{.spec.ports[0].nodePort}')"
}

first_node() { kubectl get nodes -o jsonpath='{.items[0].metadata.name}'; }

# Makes the volume for claim $1, of size $3 (64Mi), where the cluster makes none of its own: a folder on the (only) node,
# given to group $2, as fsGroup would do it for other kinds of volume.
make_volume() {
  local node volume=$NAMESPACE-$1
  [ -z "$(kubectl get storageclass -o jsonpath='{.items[?(@.metadata.annotations.storageclass\.kubernetes\.io/is-default-class=="true")].metadata.name}')" ] || return 0
  node=$(first_node)
  on_node "$node" <<<"mkdir -m 2775 /tmp/$volume && chgrp $2 /tmp/$volume && chmod 2775 /tmp/$volume" ||
    cannot_reach $? "folders of node $node, for a volume that the cluster does not make,"
  kubectl apply -f - <<VOLUME
apiVersion: v1
kind: PersistentVolume
metadata:
  name: $volume
spec:
  capacity: {storage: ${3:-64Mi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: $NAMESPACE, name: $1}
  hostPath: {path: /tmp/$volume, type: Directory}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchFields: [{key: metadata.name, operator: In, values: [$node]}]
VOLUME
}

remove_volumes() { # that make_volume made for namespace $1; given a $2, for claims whose names begin so
  local volume node
  while read -r volume node; do
    [[ $volume == "$1-${2-}"* ]] || continue
    kubectl delete persistentvolume "$volume" >/dev/null
    on_node "$node" <<<"rm -rf '/tmp/$volume'"
  done < <(kubectl get persistentvolume -o jsonpath="{range .items[?(@.spec.claimRef.namespace=='$1')]}{.metadata.name} {.spec.nodeAffinity.required.nodeSelectorTerms[0].matchFields[0].values[0]}{'\n'}{end}")
}
