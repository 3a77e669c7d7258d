#!/usr/bin/env bash
# Ends every node of DIR and takes away what it stored. Used at a cluster's end, and before the next one in case the
# last was killed itself.
# usage: clean.sh DIR
set -uo pipefail
DIR=$1
# From here on nobody starts a node again.
rm -f "$DIR"/node-*/start "$DIR/ready" "$DIR/contacts"
# Found by what they were told, not by pid files: a number may be another process by now, and a file may be missing.
# The words to look for come as a file, or grep would find itself.
nodes() {
  grep -lzF -f <(printf '%s\n' "-Dcassandra.storagedir=$DIR/node-") /proc/[0-9]*/cmdline 2> /dev/null | cut -d/ -f3
}
for _ in $(seq 200); do
  ids=$(nodes)
  [ -z "$ids" ] && break
  kill -9 $ids 2>/dev/null
  sleep 0.05
done
rm -rf "$DIR"/node-* "$DIR/alive" "$DIR/pid" "$DIR/guard"
rmdir "$DIR" 2>/dev/null
[ -z "$(nodes)" ]
