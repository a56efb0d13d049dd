# does readiness take a pod out of a Service, and put it back?
check_readiness() {
  k wait pod -l app.kubernetes.io/name=flag --for=jsonpath='{.status.phase}'=Running --timeout="${PATIENCE}s" >/dev/null || fail "$(trouble_of flag)"
  cannot_get flag:8000/healthz || fail 'the Service leads to a pod that was never ready'
  k exec deployment/flag -- /generator --count 1
  await get flag:8000/healthz || fail "a ready pod gets no requests after $PATIENCE s"
  await cannot_get flag:8000/healthz || fail "a pod that is no longer ready still gets requests after $PATIENCE s"
  echo 'out while not ready, in when ready, out again'
}
