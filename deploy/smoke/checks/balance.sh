# does a Service spread connections over its pods?
check_balance() {
  local pod before=() served=() pods i
  await_ready deployment/echo echo
  mapfile -t pods < <(pods_of echo)
  for pod in "${pods[@]}"; do before+=("$(answers_of "$pod")"); done
  for ((i = 0; i < 30; i++)); do get echo:8000/data; done
  for i in "${!pods[@]}"; do served+=($(($(answers_of "${pods[i]}") - before[i]))); done
  [[ " ${served[*]} " != *' 0 '* ]] || fail "of 30 connections the ${#pods[@]} pods got ${served[*]}: one got none"
  echo "of 30 connections the ${#pods[@]} pods got ${served[*]}"
}

answers_of() { # how often pod $1 has answered for /data
  k get --raw "/api/v1/namespaces/$namespace/pods/$1:8000/proxy/metrics" |
    awk '/^echo_http_requests_total.*route="\/data"/ { sum += $NF } END { print sum + 0 }'
}
