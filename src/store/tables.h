/*
 * tables.h
 *		Column numbers of the sdes.* tables, as the extension's script declares them.
 *		Private to this room.
 */
#ifndef SDES_TABLES_H
#define SDES_TABLES_H

#include "store/store.h"

#include "access/htup.h"
#include "access/tupdesc.h"

#define SDES_BUCKET_UUID       1
#define SDES_BUCKET_NAME       2
#define SDES_BUCKET_HASH       3
#define SDES_BUCKET_SYSTEM     4
#define SDES_BUCKET_PERIOD     5
#define SDES_BUCKET_PAUSED     6
#define SDES_BUCKET_ASYNC      7
#define SDES_BUCKET_CREATED_AT 8
#define SDES_BUCKET_CREATED_BY 9
#define SDES_BUCKET_NCOLUMNS   9

#define SDES_KEK_ID            1
#define SDES_KEK_BUCKET        2
#define SDES_KEK_KIND          3
#define SDES_KEK_MECHANISM     4
#define SDES_KEK_TOKEN_LABEL   5
#define SDES_KEK_TOKEN_SERIAL  6
#define SDES_KEK_CREATED_AT    7
#define SDES_KEK_STATE         8
#define SDES_KEK_RETIRED_AT    9
#define SDES_KEK_DESTROYING_AT 10
#define SDES_KEK_DESTROYED_AT  11
#define SDES_KEK_NCOLUMNS      11

#define SDES_DEK_KEY_ID          1
#define SDES_DEK_BUCKET          2
#define SDES_DEK_VERSION         3
#define SDES_DEK_PURPOSE         4
#define SDES_DEK_MODE            5
#define SDES_DEK_STATE           6
#define SDES_DEK_KEK             7
#define SDES_DEK_WRAPPED         8
#define SDES_DEK_COMMITMENT      9
#define SDES_DEK_CREATED_AT      10
#define SDES_DEK_CREATED_BY      11
#define SDES_DEK_SYSTEM_ID       12
#define SDES_DEK_DATABASE        13
#define SDES_DEK_TIMELINE        14
#define SDES_DEK_PINNED          15
#define SDES_DEK_DECRYPT_ONLY_AT 16
#define SDES_DEK_CLEAN_AT        17
#define SDES_DEK_EMPTIED_AT      18
#define SDES_DEK_EMPTIED_LSN     19
#define SDES_DEK_RETIRED_AT      20
#define SDES_DEK_DESTROYED_AT    21
#define SDES_DEK_REASON          22
#define SDES_DEK_NCOLUMNS        22

#define SDES_COPY_KEY_ID     1
#define SDES_COPY_KEK        2
#define SDES_COPY_WRAPPED    3
#define SDES_COPY_COMMITMENT 4
#define SDES_COPY_CREATED_AT 5
#define SDES_COPY_NCOLUMNS   5

#define SDES_ACCESS_BUCKET     1
#define SDES_ACCESS_ROLE       2
#define SDES_ACCESS_PRIVILEGE  3
#define SDES_ACCESS_ROLE_OID   4
#define SDES_ACCESS_SYSTEM_ID  5
#define SDES_ACCESS_GRANTED_AT 6
#define SDES_ACCESS_GRANTED_BY 7
#define SDES_ACCESS_FORCED     8
#define SDES_ACCESS_NCOLUMNS   8

/* messages comes first: usage.c changes it in place. */
#define SDES_USAGE_MESSAGES 1
#define SDES_USAGE_KEY_ID   2
#define SDES_USAGE_NCOLUMNS 2

#define SDES_MAX_COLUMNS 22

/* Inserts a row; columns that may be null are null in it. */
extern void sdes_table_insert(SdesTable table, Datum *values);

/* Names of purposes, modes and states in rows; -1 for an unknown name. */
extern int sdes_purpose_by_name(const char *name);
extern int sdes_mode_by_name(const char *name);
extern int sdes_state_by_name(const char *name);
extern int sdes_kek_state_by_name(const char *name);

/* OID of an index of the sdes schema. */
extern Oid sdes_index_oid(const char *name);

#endif
