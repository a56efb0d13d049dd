# do pods start: are the images there, is there room, may they run?
check_start() {
  await_ready deployment/client client
  await_ready deployment/numbers numbers
  echo "on $(k get pods -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u | grep -c .) node(s)"
}
