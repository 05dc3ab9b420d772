# Ends what a run has started when the run ends, however it ends: standard
# input is a pipe that only the run holds, and its end-of-file is the signal.
# Lines are "+PID" (watch this process group) and "-PID" (it is gone).
# $1 is the run's directory.
trap '' HUP INT QUIT TERM
groups=' '
while read -r line; do
  pid=${line#?}
  case $line in
  +*) groups="$groups$pid " ;;
  -*) groups="${groups%% "$pid" *} ${groups#* "$pid" }" ;;
  esac
done
for pid in $groups; do
  kill -s KILL -- "-$pid"
done
# A killed PostgreSQL leaves a segment of shared memory; line 7 ends in its id.
for file in "$1"/*/data/postmaster.pid; do
  [ -f "$file" ] && ipcrm -m "$(sed -n '7s/.* //p' "$file")"
done
# What was killed may still be writing.
tries=0
until rm -rf "$1" || [ "$tries" -ge 50 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
