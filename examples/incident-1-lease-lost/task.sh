#!/bin/sh
# A task as schedulers run them: a wrapper enters a virtual environment, and what runs in it starts others.
#   task.sh            the wrapper: activates, runs the job, and waits for it
#   └─ task.sh job     the interpreter of the environment
#      ├─ writer       appends rows to the result file, and ignores SIGTERM
#      ├─ helper       of the same group
#      └─ daemon       in a session of its own
# The wrapper ends at SIGTERM, as the process that a supervisor knows.
RESULT=${RESULT:?}

case $1 in
writer)
  trap '' TERM HUP
  while :; do
    echo "row of $$" >>"$RESULT"
    sleep 0.05
  done
  ;;
job)
  "$0" writer &
  sleep 3600 &
  setsid sleep 3600 &
  wait
  ;;
*)
  export VIRTUAL_ENV="$RESULT.venv"
  "$0" job &
  # It is ready once there is a first row.
  while [ ! -s "$RESULT" ]; do sleep 0.01; done
  echo 'task: working'
  wait
  ;;
esac
