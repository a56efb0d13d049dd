# report.sh: what was found, as a table for people and as JUnit XML for machines.

note() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "${3//$'\t'/ }" "$4" >>"$work/results"; } # CHECK RESULT REASON SECONDS
failed() { grep -q "^$1"$'\t'FAILED "$work/results"; }
any_failed() { grep -q $'\t'FAILED$'\t' "$work/results"; }
count() { grep -c $'\t'"$1"$'\t' "$work/results"; }

table() {
  printf '\n%-10s %-8s %7s  %s\n' CHECK RESULT SECONDS REASON
  while IFS=$'\t' read -r name result reason seconds; do
    printf '%-10s %-8s %7s  %s\n' "$name" "$result" "$seconds" "$reason"
  done <"$work/results"
  printf '%s passed, %s failed, %s skipped\n' "$(count ok)" "$(count FAILED)" "$(count skipped)"
}

escaped() { tr -d '\000-\010\013\014\016-\037' <<<"$1" | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'; }

junit_xml() {
  echo '<?xml version="1.0" encoding="UTF-8"?>'
  echo "<testsuite name=\"cluster\" tests=\"$(wc -l <"$work/results")\" failures=\"$(count FAILED)\" skipped=\"$(count skipped)\">"
  while IFS=$'\t' read -r name result reason seconds; do
    printf '  <testcase classname="cluster" name="%s" time="%s">' "$name" "$seconds"
    case $result in
      FAILED) printf '<failure message="%s"/>' "$(escaped "$reason")" ;;
      skipped) printf '<skipped message="%s"/>' "$(escaped "$reason")" ;;
      *) printf '<system-out>%s</system-out>' "$(escaped "$reason")" ;;
    esac
    echo '</testcase>'
  done <"$work/results"
  echo '</testsuite>'
}
