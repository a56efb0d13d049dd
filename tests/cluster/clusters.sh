# Two clusters, as two namespaces that see each other through a gateway only. The gateway is a process of this machine
# that ends TLS (socat) and is cut by killing it.

FAR=$NAMESPACE-far

near() { kubectl --namespace "$NAMESPACE" "$@"; }
far() { kubectl --namespace "$FAR" "$@"; }

the_far_side_has_the_file_of_the_near_side() {
  local address
  address=$(node_address "$(first_node)")
  this_machine_has "$address" || skip 'pods cannot reach a gateway on this machine'
  make_authority upstream
  make_authority other
  make_volume numbers-numbers-0 65532
  near create secret generic readers --from-literal=token=of-the-near-side
  near apply -k tests/cluster/clusters/near
  near rollout status deployment/echo --timeout=120s
  NAMESPACE=$FAR own_namespace
  listen "$address"
  let_in upstream of-the-near-side
  far apply -k tests/cluster/clusters/far
  far rollout status deployment/echo --timeout=120s
  [ "$(NAMESPACE=$FAR generation_at services/echo:http)" = "$(generation_at services/numbers:http)" ] || fail 'another generation'
  far_has_line 10
}

# Makes an authority $1.crt, and for `upstream` a certificate of the gateway, too.
make_authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.crt"
  [ "$1" = upstream ] || return 0
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=gateway -keyout "$WORK/gateway.key" -out "$WORK/gateway.csr"
  openssl x509 -req -in "$WORK/gateway.csr" -CA "$WORK/upstream.crt" -CAkey "$WORK/upstream.key" -CAcreateserial -days 2 \
    -extfile <(echo 'subjectAltName=DNS:gateway') -out "$WORK/gateway.crt"
}

# Starts the gateway, and gives it the name `gateway` and port 443 on the far side.
listen() {
  local port
  open_link "${1:?}" 0
  port=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$WORK/gateway.log")
  echo "$1 $port" >"$WORK/gateway.address"
  far apply -f - <<GATEWAY
apiVersion: v1
kind: Service
metadata: {name: gateway}
spec:
  ports: [{port: 443, targetPort: $port}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: gateway}
subsets:
  - addresses: [{ip: $1}]
    ports: [{port: $port}]
GATEWAY
}

open_link() { # at address $1 and port $2, 0 for any
  : >"$WORK/gateway.log"
  setsid socat -d -d "OPENSSL-LISTEN:$2,bind=$1,fork,reuseaddr,cert=$WORK/gateway.crt,key=$WORK/gateway.key,verify=0" \
    "TCP:$(node_port echo)" 2>"$WORK/gateway.log" &
  echo $! >"$WORK/gateway.pid"
  grep -q -m 1 'listening on' < <(timeout 10 tail -n +1 -f "$WORK/gateway.log")
}

cut_link() { kill -KILL -- "-$(<"$WORK/gateway.pid")"; } # and what it is carrying

let_in() { # with the authority $1 and the token $2
  far create secret generic upstream --from-file=ca.crt="$WORK/$1.crt" --from-literal=token="$2" --dry-run=client -o yaml |
    far apply -f -
}

far_has_line() { # number $1, and each one before it
  local url line
  url=/api/v1/namespaces/$FAR/services/echo:http/proxy/data
  sed -n "$1{p;q}" < <(timeout 60 kubectl get --raw "$url?follow") | grep -q . || fail "line $1 has not come"
  kubectl get --raw "$url" >"$WORK/far"
  line=$(wc -l <"$WORK/far")
  near exec -i numbers-0 -c generator -- /generator verify --seed "$SEED" --lines "$line" /dev/stdin <"$WORK/far"
}

the_near_side_demands_the_token() {
  local url
  url=http://$(node_port echo)/data
  [ "$(curl -s -o "$WORK/answer" -w '%{http_code}' "$url")" = 401 ] || fail "without one: $(head -n 1 "$WORK/answer")"
  curl -fsS -o "$WORK/answer" -H 'Authorization: Bearer of-the-near-side' "$url"
}

a_cut_link_loses_nothing_and_the_far_side_serves_on() {
  local lines address port
  cut_link
  far_says deployment/echo refused
  lines=$(verified_lines numbers-0)
  lines=$(verified_lines numbers-0 $((lines + 10)))
  far exec deployment/echo -- /echo check http://localhost:8000/data
  read -r address port <"$WORK/gateway.address"
  open_link "$address" "$port"
  far_has_line "$lines"
}

far_says() { # a word, in the log of $1
  grep -m 1 -E "$2" < <(timeout 60 kubectl --namespace "$FAR" logs -f "$1") || fail "no word of $2: $(far logs "$1" | tail -n 3)"
}

a_wrong_token_is_refused_and_the_far_side_serves_on() { is_refused upstream a-guess 401; }
another_authority_is_not_trusted_and_the_far_side_serves_on() { is_refused other of-the-near-side '[Cc]ertificate'; }

# A new mirror, let in with $1 and $2, says $3 and never becomes ready, so that the old one stays.
is_refused() {
  local old new
  old=$(NAMESPACE=$FAR pods_of echo | head -n 1)
  let_in "$1" "$2"
  far rollout restart deployment/echo
  NAMESPACE=$FAR await there_are_two
  new=$(NAMESPACE=$FAR pods_of echo | grep -v "$old")
  far wait "pod/$new" --for=jsonpath='{.status.containerStatuses[0].started}'=true --timeout=60s
  far_says "pod/$new" "$3"
  far exec "$old" -- /echo check
  ! far exec "$new" -- /echo check || fail 'ready without the file'
  far rollout undo deployment/echo
  far rollout status deployment/echo --timeout=60s
}

there_are_two() { [ "$(pods_of echo | wc -l)" = 2 ]; }

# shellcheck disable=SC2046
trap 'cut_link 2>/dev/null; kill $(jobs -p) 2>/dev/null' EXIT
own_namespace
check the_far_side_has_the_file_of_the_near_side
check the_near_side_demands_the_token
check a_cut_link_loses_nothing_and_the_far_side_serves_on
check a_wrong_token_is_refused_and_the_far_side_serves_on
check another_authority_is_not_trusted_and_the_far_side_serves_on
