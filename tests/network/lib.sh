# shellcheck shell=bash disable=SC2119,SC2120,SC2154 # the variables, and some arguments, are in tests/network/run
# What the tests of mirrors over networks are written in.

# --- The two sides

start_both_sides() {
  start_near
  start_far
  await answers 200 /data
  start client "$far" curl -sSN 'http://127.0.0.1:8000/data?follow'
  await has_lines 20 "$scratch/client.log"
}

start_both_sides_in_trouble() {
  start_near
  start_far
}

start_near() {
  start_generator
  start_adapter
  start_gateway
}

start_generator() { # [SEED]
  start generator "$near" "$target/generator" --file "$scratch/near/data" --seed "${1:-7}" --interval 10ms
}

start_adapter() {
  start adapter "$near" "$target/echo" --file "$scratch/near/data" --listen 127.0.0.1:9000 --token-file "$scratch/near.token"
}

start_gateway() {
  start gateway "$near" nginx -e stderr -c "$scratch/nginx.conf"
  await in_near curl -sk -o "$scratch/null" https://127.0.0.1/
}

start_plain_upstream() {
  start_generator
  start_gateway
}

start_far() {
  start_mirror far "$gateway" --upstream-ca "$scratch/tls/ca.pem" --upstream-token-file "$scratch/far.token"
}

start_hop() { # NUMBER PORT: a mirror of the one that listens on PORT
  mkdir -p "$scratch/hop$1"
  start_mirror "hop$1" "http://127.0.0.1:$2/data" --listen "127.0.0.1:$((8000 + $1))"
}

start_mirror() { # NAME URL [OPTION]…
  local name=$1 url=$2
  shift 2
  start "$name" "$far" env ECHO_LISTEN=127.0.0.1:8000 "$target/echo" --file "$scratch/$name/data" --upstream "$url" "$@"
}

start() { # NAME NAMESPACE COMMAND…: what it says goes to NAME.log
  local name=$1 namespace=$2
  shift 2
  ip netns exec "$namespace" "$@" >"$scratch/$name.log" 2>&1 &
  echo $! >"$scratch/$name.pid"
}

stop() { # NAME SIGNAL
  kill -"$2" "$(<"$scratch/$1.pid")"
  wait "$(<"$scratch/$1.pid")" || true
}

in_near() { ip netns exec "$near" "$@"; }
in_far() { ip netns exec "$far" "$@"; }

drop_all() {
  in_far iptables -A INPUT -i cable -j DROP
  in_far iptables -A OUTPUT -o cable -j DROP
}

heal() { in_far iptables -F; }

present() { # NAME: the certificate of the gateway
  cp "$scratch/tls/$1.pem" "$scratch/tls/gateway.pem"
}

numbers_of() { # SEED: a file that it takes a moment to mirror
  rm -f "$scratch/numbers"
  "$target/generator" --seed "$1" --count 200000 --interval 0s --file "$scratch/numbers" 2>"$scratch/said2"
  cat "$scratch/numbers"
}

# --- What is found

ask() { in_far curl -sS "http://127.0.0.1:8000$1"; }
status_of() { in_far curl -sS -o "$scratch/null" -w '%{http_code}' "http://127.0.0.1:8000$1"; }
answers() { [ "$(status_of "$2")" = "$1" ]; }
says() { equals "$(ask "$2" | head -n "${3:-99}")" "$1"; }
trouble() { in_far curl -sS "http://127.0.0.1:${1:-8000}/readyz" | sed -nE 's/.*"upstream_trouble":"([^"]*)".*/\1/p'; }
lag() { ask /readyz | sed -E 's/.*"upstream_lag_seconds":([0-9]+).*/\1/'; }
metric() { in_far curl -sS "http://127.0.0.1:${2:-8000}/metrics" | awk -v name="echo_upstream_$1" '$1 == name {printf "%d\n", $2}'; }
end_in() { sed -n 's/^stream-next-offset: *\([0-9a-f_]*\).*/\1/Ip'; }
offset_of_end() { in_far curl -sSI "http://127.0.0.1:${1:-8000}/data" | end_in; }
troubled() { [ -n "$(trouble)" ]; }
has_trouble() { [ "$(trouble "$1")" = "$2" ] || { echo "the trouble is: $(trouble "$1")"; return 1; }; }
idle() { [ -z "$(trouble)" ] && [ "$(lag)" = 0 ] && [ "$(metric lag_seconds)" = 0 ] && [ "$(metric up)" = 1 ]; }
has_lines() { [ "$(wc -l <"$2")" -ge "$1" ]; }
same_generation() {
  [ "$(offset_of_end)" = "$(in_near curl -sSI -H 'Authorization: Bearer secret' http://127.0.0.1:9000/data | end_in)" ]
}
same() { cmp "$1" "$2"; }
ended() { ! kill -0 "$(<"$scratch/$1.pid")"; }
refuses_the_old_token() {
  [ "$(in_near curl -sk -o "$scratch/null" -w '%{http_code}' -H 'Authorization: Bearer secret' https://127.0.0.1/data)" = 401 ]
}

fails_again() { # PORT TIMES
  [ -s "$scratch/failed" ] || metric failures_total "$1" >"$scratch/failed"
  [ "$(metric failures_total "$1")" -ge $(($(<"$scratch/failed") + $2)) ] && rm "$scratch/failed"
}

grown() { # the mirror has lines that are newer than the last time that somebody asked, and follows
  idle || return
  local now
  now=$(wc -l <"$scratch/far/data")
  [ -s "$scratch/grown" ] || wc -l <"$scratch/near/data" >"$scratch/grown"
  ((now > $(<"$scratch/grown"))) && rm "$scratch/grown"
}

longer_by() { # LINES FILE [THAN]
  local now
  now=$(wc -l <"$2")
  [ -s "$scratch/longer" ] || echo "${3:-$now}" >"$scratch/longer"
  ((now >= $(<"$scratch/longer") + $1)) && rm "$scratch/longer"
}

recovered() { [ -z "$(trouble)" ] && cmp -n "$(stat -c %s "$scratch/far/data")" "$scratch/near/data" "$scratch/far/data" && grown; }

refused() { # REASON [CAUSE]: anybody is told the reason, and the log has its cause
  [ "$(trouble)" = "$1" ] && is_logged_once "${2-$1}"
}

is_logged_once() { # MESSAGE: although it happened more often
  if [ "$(metric failures_total)" -ge 3 ] && [ "$(grep -cF "$1" "$scratch/far.log")" = 1 ]; then return; fi
  echo "the trouble is: $(trouble); the log: $(<"$scratch/far.log")"
  return 1
}

lags_and_serves_what_it_has() {
  local had
  had=$(wc -l <"$scratch/far/data")
  await longer_by 100 "$scratch/near/data"
  await lags
  at_least "$(metric lag_seconds)" 1 "the lag in /metrics"
  equal "$(metric up)" 0
  equal "$(status_of /readyz)" 200
  equal "$(ask /data | wc -l)" "$had" "the lines that are served"
}
lags() { [ "$(lag)" -ge 2 ]; }

proves_exact() { # the mirror's file, what it serves and what a client followed are the upstream's
  local seed=${seed:-7}
  stop generator TERM || true
  await same "$scratch/near/data" "$scratch/far/data"
  "$target/generator" verify --seed "$seed" "$scratch/far/data"
  ask /data >"$scratch/served"
  same "$scratch/near/data" "$scratch/served"
  await idle
  equal "$(metric lag_bytes)" 0
  [ ! -e "$scratch/client.log" ] || await same "$scratch/near/data" "$scratch/client.log"
}

begins_to_replace() { # waits without a pause, because a replacement takes but moments; and not for ever, lest one was missed
  local deadline=$((SECONDS + 2))
  until [ -e "$scratch/far/data.next" ] || ((SECONDS >= deadline)); do :; done
}

is_beginning_of_a_file() { # FILE LAST-SEED: whole lines of it are the first of one of the files that were there
  local seed size
  [ -e "$1" ] || return 0
  size=$(grep -c '' "$1") # lines, the last of which may be torn
  [ "$size" = "$(wc -l <"$1")" ] || size=$((size - 1))
  for ((seed = 0; seed <= $2; seed++)); do
    [ -e "$scratch/of-$seed" ] || numbers_of "$seed" >"$scratch/of-$seed"
    if cmp -s <(head -n "$size" "$1") <(head -n "$size" "$scratch/of-$seed"); then return; fi
  done
  fail "the file of $size lines is of none"
}

# --- What the tests are written in

await() { # COMMAND…: until it succeeds
  local deadline=$((SECONDS + 40))
  until "$@" >"$scratch/why" 2>&1; do
    ((SECONDS < deadline)) || fail "in vain for 40 s: $* $(<"$scratch/why")"
    sleep 0.05
  done
}

equals() { # FOUND EXPECTED: the same words
  [ "$(xargs <<<"$1")" = "$(xargs <<<"$2")" ] || { echo "found \"$1\""; return 1; }
}

equal() { # FOUND EXPECTED [WHAT]
  equals "$1" "$2" >&2 || fail "${3:+$3: }expected \"$2\", found \"$1\""
}

at_most() { [ "$1" -le "$2" ] || fail "${3:+$3: }expected at most $2, found $1"; }
at_least() { [ "$1" -ge "$2" ] || fail "${3:+$3: }expected at least $2, found $1"; }

fail() {
  echo "$*"
  exit 1
} >&2

set_up() { # what every test finds
  mkdir -p "$scratch"/{near,far}
  ip netns add "$near"
  ip netns add "$far"
  ip link add cable netns "$near" type veth peer name cable netns "$far"
  for side in near far; do
    ip -n "${!side}" link set lo up
    ip -n "${!side}" link set cable up
  done
  ip -n "$near" address add 192.0.2.1/24 dev cable
  ip -n "$near" address add 192.0.2.2/24 dev cable
  ip -n "$far" address add 192.0.2.10/24 dev cable
  mkdir -p "/etc/netns/$far"
  echo "192.0.2.1 numbers.near" >"/etc/netns/$far/hosts"
  echo secret | tee "$scratch/near.token" >"$scratch/far.token"
  present right
}

clean_up() {
  local namespace
  for namespace in "$near" "$far"; do
    ip netns pids "$namespace" | xargs -r kill -9
    ip netns delete "$namespace"
  done
  mountpoint -q "$scratch/far" && umount -l "$scratch/far"
  rm -rf "${scratch:?}"/{near,far,hop*,*.log,*.pid,grown,longer,failed,requests} "/etc/netns/${far:?}"
} &>/dev/null

make_certificates() { # certificates for the gateway, of an authority of our own, and another authority
  local authority
  mkdir -p "$scratch/tls/issued"
  cat >"$scratch/tls/ca.conf" <<END
[ca]
default_ca = ours
[ours]
database = $scratch/tls/index
new_certs_dir = $scratch/tls/issued
certificate = $scratch/tls/ca.pem
private_key = $scratch/tls/ca.key
default_md = sha256
rand_serial = yes
unique_subject = no
copy_extensions = copy
policy = ours_too
[ours_too]
commonName = supplied
END
  : >"$scratch/tls/index"
  for authority in ca other-ca; do
    openssl req -x509 "${new_key[@]}" -keyout "$scratch/tls/$authority.key" -out "$scratch/tls/$authority.pem" \
      -days 2 -subj "/CN=$authority"
  done
  certificate right numbers.near "$(day yesterday)" "$(day tomorrow)"
  certificate stranger stranger.near "$(day yesterday)" "$(day tomorrow)"
  certificate expired numbers.near "$(day '3 days ago')" "$(day yesterday)"
  certificate early numbers.near "$(day tomorrow)" "$(day '3 days')"
}

certificate() { # FILE HOST FROM TO: a PEM file with its key
  local file=$scratch/tls/$1
  openssl req -new "${new_key[@]}" -keyout "$file.key" -out "$file.request" -subj "/CN=$2" -addext "subjectAltName=DNS:$2"
  openssl ca -batch -notext -config "$scratch/tls/ca.conf" -in "$file.request" -out "$file.pem" -startdate "$3" -enddate "$4"
  cat "$file.key" >>"$file.pem"
}
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
day() { date -u -d "$1" +%Y%m%d%H%M%SZ; }

configure_nginx() {
  local folder
  cat <<END
daemon off; master_process off; pid $scratch/nginx.pid; error_log stderr;
events {}
http {
  access_log off; default_type text/plain;
$(for folder in client_body proxy fastcgi uwsgi scgi; do echo "  ${folder}_temp_path $scratch/nginx-$folder;"; done)
  log_format short '\$request \$status';
  server {
    listen 443 ssl;
    ssl_certificate $scratch/tls/gateway.pem; ssl_certificate_key $scratch/tls/gateway.pem;
    location / {
      proxy_pass http://127.0.0.1:9000; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off;
    }
  }
  server {
    listen 8080; root $scratch/near;
    location = /login { default_type text/html; return 200 '<form>'; }
    location = /moved { return 301 /data; }
  }
  server {
    listen 8443 ssl; ssl_protocols TLSv1.1; ssl_ciphers DEFAULT@SECLEVEL=0;
    ssl_certificate $scratch/tls/gateway.pem; ssl_certificate_key $scratch/tls/gateway.pem;
  }
  server { listen 8081; root $scratch/near; keepalive_timeout 0; }
  server { listen 8082; root $scratch/near; etag off; access_log $scratch/requests short; }
}
END
}
