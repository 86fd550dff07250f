/*
 * types.h
 *		The encrypted types: what sets one apart from another (SdesType, value.h).
 *
 * A new type is its name in store/store.c, a description here, a file of SQL
 * functions like enc_pan.c, and its part of the script. The guard of columns and
 * the rewrite of results know it then.
 */
#ifndef SDES_TYPES_H
#define SDES_TYPES_H

#include "postgres.h"

#include "fmgr.h"
#include "value/value.h"

extern const SdesType sdes_type_text;
extern const SdesType sdes_type_pan;

/* By SdesEncType, as the rewrite meets them. */
extern const SdesType *const sdes_types[SDES_NTYPES];

/*
 * The bodies of a type's SQL functions: input, receive, the casts from text (or
 * varchar, which is the same to C) and from char(n), the length coercion, and
 * the cast to text, varchar and char(n). Output and send are alike for all types.
 */
extern Datum sdes_type_in(const SdesType *type, PG_FUNCTION_ARGS);
extern Datum sdes_type_recv(const SdesType *type, PG_FUNCTION_ARGS);
extern Datum sdes_type_from_text(const SdesType *type, PG_FUNCTION_ARGS);
extern Datum sdes_type_from_bpchar(const SdesType *type, PG_FUNCTION_ARGS);
extern Datum sdes_type_coerce(const SdesType *type, PG_FUNCTION_ARGS);
extern Datum sdes_type_to_text(const SdesType *type, PG_FUNCTION_ARGS);
extern Datum sdes_type_out(PG_FUNCTION_ARGS);
extern Datum sdes_type_send(PG_FUNCTION_ARGS);

#endif
