# are NetworkPolicies enforced?
check_policies() {
  local said
  said=$(get numbers:8000/healthz 2>&1) || fail "it cannot be told, as numbers does not answer without a policy, either: $said"
  k apply -f "$smoke/wall.yaml" >/dev/null
  PATIENCE=20 await cannot_get numbers:8000/healthz && said=enforced || said='not enforced'
  k delete -f "$smoke/wall.yaml" >/dev/null
  [ "$said" = enforced ] || fail 'accepted, but NOT enforced: a policy that lets nobody in stopped nobody within 20 s'
  await get numbers:8000/healthz >/dev/null || fail 'enforced, but with the policy gone the way stays closed'
  echo 'enforced: shut by a policy, and open when it is gone'
}
