# do pods resolve the names of Services, short and long?
check_names() {
  local name
  for name in numbers "numbers.$namespace" "numbers.$namespace.svc"; do
    get "$name:8000/healthz" || fail "$name: $(get "$name:8000/healthz" 2>&1 | tail -n 1)"
  done
  echo 'NAME, NAME.NAMESPACE and NAME.NAMESPACE.svc'
}
