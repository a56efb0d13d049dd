# The volume coupling as OpenShift runs it: an arbitrary user of group 0, and a group of the project's own.

an_arbitrary_user_runs_both() {
  make_volume numbers 1000660000
  k apply -k tests/cluster/openshift
  k rollout status deployment/generator --timeout=120s
  k rollout status deployment/echo --timeout=120s
  k exec deployment/echo -- /echo check
}

own_namespace
check an_arbitrary_user_runs_both
