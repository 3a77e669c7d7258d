#!/usr/bin/env bash
# One Cassandra node for tests, in the foreground: becomes java, so that the caller's $! is the JVM.
# usage: JAVA=… LIB=… CQL_PORT=… STORAGE_PORT=… node.sh NODE_DIR ADDRESS SEEDS TOKEN
# Started by node-N/start, which `cargo xtask cassandra` writes. What is not default is here to start fast, to stay
# small, and to be as strict with the disk as a store has to be:
# - commitlog_sync batch: acknowledged means synced. `periodic`, Cassandra's default, lost 3,699 of 321,000
#   acknowledged rows in a kill -9; batch none.
# - die on a failed disk or commit log: a page cache that lied is not asked again.
# - one fixed token a node, no bootstrap, no waiting for gossip: three nodes answer in 5 to 7 s.
set -euo pipefail
DIR=$1 ADDRESS=$2 SEEDS=$3 TOKEN=$4
mkdir -p "$DIR/conf" "$DIR/data" "$DIR/logs" "$DIR/tmp"
cat > "$DIR/conf/cassandra.yaml" <<YAML
cluster_name: 'bellhop-test'
num_tokens: 1
initial_token: "$TOKEN"
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "$SEEDS"
listen_address: $ADDRESS
rpc_address: $ADDRESS
start_native_transport: true
native_transport_port: $CQL_PORT
storage_port: $STORAGE_PORT
ssl_storage_port: $((STORAGE_PORT + 1))
data_file_directories: [ "$DIR/data/data" ]
commitlog_directory: "$DIR/data/commitlog"
hints_directory: "$DIR/data/hints"
saved_caches_directory: "$DIR/data/saved_caches"
cdc_raw_directory: "$DIR/data/cdc_raw"
commitlog_sync: batch
commitlog_segment_size: 8MiB
commitlog_total_space: 256MiB
disk_failure_policy: die
commit_failure_policy: die
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
memtable_flush_writers: 1
key_cache_size: 4MiB
row_cache_size: 0MiB
counter_cache_size: 1MiB
file_cache_size: 32MiB
networking_cache_size: 16MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_counter_writes: 4
concurrent_materialized_view_writes: 4
concurrent_compactors: 1
compaction_throughput: 0MiB/s
sstable_preemptive_open_interval: 50MiB
auto_snapshot: false
snapshot_before_compaction: false
hinted_handoff_enabled: true
auto_hints_cleanup_enabled: false
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
column_index_size: 4KiB
paxos_variant: v2
cas_contention_timeout: 1800ms
storage_compatibility_mode: NONE
user_defined_functions_enabled: false
materialized_views_enabled: false
sasi_indexes_enabled: false
trickle_fsync: false
dynamic_snitch: false
YAML
cat > "$DIR/conf/logback.xml" <<XML
<configuration scan="false">
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>$DIR/logs/system.log</file>
    <encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="FILE"/></root>
</configuration>
XML
CLASS_PATH=$(printf '%s:' "$LIB"/*.jar)
# Cassandra reaches into the JDK; this is its own list for Java 17.
OPENS=()
for it in java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry \
  java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc \
  jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach; do
  OPENS+=(--add-exports "$it=ALL-UNNAMED")
done
for it in java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref \
  java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module \
  java.base/jdk.internal.util.jar jdk.management/com.sun.management.internal java.base/sun.nio.ch java.base/java.io \
  java.base/java.lang.reflect jdk.compiler/com.sun.tools.javac java.base/java.lang java.base/java.util \
  java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/java.nio java.rmi/sun.rmi.transport.tcp; do
  OPENS+=(--add-opens "$it=ALL-UNNAMED")
done
export MALLOC_ARENA_MAX=2
ulimit -n 100000 2>/dev/null || true
exec "$JAVA" -da -Xms64M -Xmx512M -Xss384k -XX:+UseSerialGC -XX:MaxDirectMemorySize=256M \
  -XX:+UseThreadPriorities -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -XX:TieredStopAtLevel=1 -Xshare:auto \
  -Djdk.attach.allowAttachSelf=true "${OPENS[@]}" \
  -Djava.net.preferIPv4Stack=true -Djava.io.tmpdir="$DIR/tmp" -Djna.tmpdir="$DIR/tmp" \
  -Dio.netty.tryReflectionSetAccessible=true -Dio.netty.allocator.useCacheForAllThreads=true \
  -Dio.netty.allocator.maxOrder=7 \
  -Dcassandra.config="file://$DIR/conf/cassandra.yaml" -Dlogback.configurationFile="file://$DIR/conf/logback.xml" \
  -Dcassandra.storagedir="$DIR/data" -Dcassandra.logdir="$DIR/logs" -Dcassandra-foreground=yes \
  -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=1000 \
  -Dcassandra.memtable.row_overhead_size=180 -Dcassandra.superuser_setup_delay_ms=0 \
  -Dcassandra.skip_default_role_setup=true -Dcassandra.allow_unsafe_join=true \
  -Dcassandra.consistent.rangemovement=false \
  -cp "${CLASS_PATH%:}" org.apache.cassandra.service.CassandraDaemon
