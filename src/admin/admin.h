/*
 * admin.h
 *		What the functions of this room share. Private to it.
 */
#ifndef SDES_ADMIN_H
#define SDES_ADMIN_H

#include "postgres.h"

#include "store/store.h"

/*
 * Raises an error unless this server can be written to and the caller is a member of
 * sdes_admin. A command is "sdes.rewrap_bucket()", an action "shred encryption buckets".
 */
extern void sdes_admin_require(const char *command, const char *action);

/* Until the transaction ends, nobody else makes or ends keys. */
extern void sdes_admin_take_turns(void);

/* The row of a bucket, also the system's; an error if there is none. */
extern void sdes_admin_find_bucket(const char *name, SdesBucketRow *bucket);

/* The SdesKekKind of its name in SQL; an error for any other word. */
extern uint8 sdes_parse_kek_kind(const char *kek);

#endif
