/*
 * typmod.h
 *		The SQL types of encrypted values, and which columns may have them.
 */
#ifndef SDES_TYPMOD_H
#define SDES_TYPMOD_H

#include "postgres.h"

/* Refuses columns of no bucket from here on; called once when preloaded. */
extern void sdes_column_guard_init(void);

/*
 * Whether a type has encrypted values in it, be it in a domain, an array, a range or a
 * composite. types are those of sdes_type_oids().
 */
extern bool sdes_holds_encrypted(const Oid *types, Oid type);

/* The same of values without a search token. */
extern bool sdes_holds_tokenless(const Oid *types, Oid type, int32 typmod);

#endif
