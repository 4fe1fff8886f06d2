#!/usr/bin/env bash
# The step of action.yml: annotations on stdout, a summary of the job, SARIF where it is asked for. Ends with envpin's status.
set -uo pipefail

case $ENVPIN_COMMAND in
  scan | check | prove) words=("$ENVPIN_COMMAND") ;;
  lock) words=(lock --check) ;;
  *)
    echo "::error::envpin: \`command\` must be scan, check, prove or lock"
    exit 2
    ;;
esac
while IFS= read -r line; do
  [ -z "$line" ] || words+=("$line")
done <<< "$ENVPIN_ARGUMENTS"

found=$(envpin "${words[@]}" --format github)
status=$?
[ -z "$found" ] || printf '%s\n' "$found"
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  {
    echo "### envpin $ENVPIN_COMMAND: exit status $status"
    echo
    echo '~~~~text'
    if [ -n "$found" ]; then
      printf '%s\n' "$found" | sed -e 's/^::\([a-z]*\) file=\([^,]*\),line=[0-9]*,title=[^:]*::/\1: \2: /' -e 's/%0A.*//' -e 's/%25/%/g'
    else
      echo 'no finding'
    fi
    echo '~~~~'
  } >> "$GITHUB_STEP_SUMMARY"
fi
if [ -n "${ENVPIN_SARIF:-}" ]; then
  envpin "${words[@]}" --format sarif > "$ENVPIN_SARIF"
fi
exit "$status"
