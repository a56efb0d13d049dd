# The manifests, as the server judges them.

the_server_accepts_them() {
  local coupling minor
  minor=$(server_minor)
  k apply --dry-run=server -f app-pod.yaml
  for coupling in $(couplings); do
    [ "$minor" -lt "$(needs_minor "$coupling")" ] || k apply --dry-run=server -k "deploy/$coupling" || fail "deploy/$coupling"
  done
}

the_server_refuses_what_needs_a_newer_one() { # or the folder need not stand apart
  local coupling minor newer=
  minor=$(server_minor)
  for coupling in $(couplings); do
    [ "$minor" -lt "$(needs_minor "$coupling")" ] || continue
    newer+=" $coupling"
    ! k apply --dry-run=server -k "deploy/$coupling" || fail "1.$minor takes deploy/$coupling"
  done
  echo "refused:$newer"
}

own_namespace
check the_server_accepts_them
check the_server_refuses_what_needs_a_newer_one
