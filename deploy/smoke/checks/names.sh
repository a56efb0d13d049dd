# do pods resolve the names of Services, short and long?
check_names() {
  local name
  for name in numbers "numbers.$namespace" "numbers.$namespace.svc"; do
    await_answer "$name:8000/healthz" || fail "$name: $(get "$name:8000/healthz")"
  done
  echo 'NAME, NAME.NAMESPACE and NAME.NAMESPACE.svc'
}

await_answer() { # a name may be known, and lead nowhere, for a moment
  local deadline=$((SECONDS + 30))
  until get "$1"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 1
  done
}
