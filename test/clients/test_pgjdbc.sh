#!/bin/bash
#
# test_pgjdbc.sh
#     Compiles and runs PgJdbc.java, the test of PostgreSQL's JDBC driver.

set -euo pipefail
here=$(dirname "$0")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CLASSPATH=/usr/share/java/postgresql.jar:$scratch

"$here/database" pgjdbc
javac -J-XX:TieredStopAtLevel=1 -encoding UTF-8 -Xlint:all -d "$scratch" "$here/PgJdbc.java"
java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 PgJdbc pgjdbc "$PGPORT"
