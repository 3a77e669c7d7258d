#!/usr/bin/env bash
# Holds the nodes of DIR from their start to their end. `cargo xtask cassandra` becomes this after it has checked Java,
# fetched the jars, swept up what an earlier run left and written node-N/start. A script, because xtask has no way to
# catch a signal without a dependency.
# usage: cluster.sh XTASK DIR CONTACTS TIED
# Ends at SIGINT, SIGTERM and SIGHUP, and with TIED=1 also when its standard input ends.
set -uo pipefail
XTASK=$1 DIR=$2 CONTACTS=$3 TIED=$4
HERE=$(cd "$(dirname "$0")" && pwd)
echo $$ > "$DIR/pid"

finish() {
  trap '' INT TERM HUP
  # The guard must not clean once more when somebody has already started the next cluster here.
  { kill -9 $(jobs -p); wait; } 2> /dev/null
  "$HERE/clean.sh" "$DIR" || echo "Cassandra: something of $DIR would not end." >&2
  exit "$1"
}

# Whatever ends this script, kill -9 too, closes the pipe's only writing end, and then the guard cleans.
mkfifo "$DIR/alive"
( trap '' INT TERM HUP; echo $BASHPID > "$DIR/guard"; cat > /dev/null; "$HERE/clean.sh" "$DIR" ) < "$DIR/alive" > /dev/null 2>&1 &
GUARD=$!
trap 'echo "Cassandra: stopping."; finish 0' INT TERM HUP
exec 9> "$DIR/alive"
if [ "$TIED" = 1 ]; then
  exec 8<&0
  ( exec 9>&-; cat <&8 > /dev/null; kill -TERM $$ 2> /dev/null ) > /dev/null 2>&1 &
  exec 8<&-
fi

for start in "$DIR"/node-*/start; do "$start" 9>&-; done
"$XTASK" cassandra --await "$CONTACTS" 9>&- &
if ! wait $!; then
  for node in "$DIR"/node-*; do
    echo "--- $(basename "$node")"; tail -n 5 "$node/out"; grep -E '^(ERROR|WARN)' "$node/logs/system.log" | tail -n 10
  done >&2
  echo "Cassandra: the nodes of $DIR do not answer; their last words are above." >&2
  finish 1
fi
echo "$CONTACTS" > "$DIR/contacts.new" && mv "$DIR/contacts.new" "$DIR/contacts"
touch "$DIR/ready"
echo "Cassandra: ready, BELLHOP_CQL=$CONTACTS. Ctrl-C stops it and takes away what it stored."
wait $GUARD
finish 1
