/*
 * operators.c
 *		The SQL functions behind operators and operator classes.
 *
 * Names end in what the arguments are: vv compares two values, vt a value with a
 * text, tv a text with a value, tt two texts as if they were values. The order is that
 * of tokens and has no meaning; order.c has the other one. next is for indexes that wait
 * for a switch of search keys.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "nodes/primnodes.h"
#include "sdes_compat.h"
#include "search/compare.h"

/*
 * The order of tokens has no meaning, but GREATEST and LEAST of two values are asked for
 * by it; they go by plaintext.
 */
static Datum
compare(const SdesType *type, SdesTokenKind kind, SdesSide left, SdesSide right,
        PG_FUNCTION_ARGS)
{
	const Node *caller = fcinfo->flinfo ? fcinfo->flinfo->fn_expr : NULL;

	if (caller != NULL && IsA(caller, MinMaxExpr))
		PG_RETURN_INT32(sdes_compare_order(type, fcinfo));
	PG_RETURN_INT32(sdes_compare(type, kind, left, right, fcinfo));
}

#define RELATION(name, type, kind, left, right, relation)                                  \
	SDES_FUNCTION(                                                                         \
	    name, PG_RETURN_BOOL(sdes_compare(&(type), kind, left, right, fcinfo) relation 0))

#define COMPARISONS(prefix, sides, type, kind, left, right)                                \
	RELATION(prefix##_eq_##sides, type, kind, left, right, ==)                             \
	RELATION(prefix##_lt_##sides, type, kind, left, right, <)                              \
	RELATION(prefix##_le_##sides, type, kind, left, right, <=)                             \
	RELATION(prefix##_ge_##sides, type, kind, left, right, >=)                             \
	RELATION(prefix##_gt_##sides, type, kind, left, right, >)                              \
	SDES_FUNCTION(prefix##_cmp_##sides, return compare(&(type), kind, left, right, fcinfo))

#define TYPE_COMPARISONS(prefix, type)                                                     \
	COMPARISONS(prefix, vv, type, SDES_TOKEN_EXACT, SDES_VALUE, SDES_VALUE)                \
	COMPARISONS(prefix, vt, type, SDES_TOKEN_EXACT, SDES_VALUE, SDES_PLAIN)                \
	COMPARISONS(prefix, tv, type, SDES_TOKEN_EXACT, SDES_PLAIN, SDES_VALUE)                \
	COMPARISONS(prefix, tt, type, SDES_TOKEN_EXACT, SDES_PLAIN, SDES_PLAIN)                \
	RELATION(prefix##_ne_vv, type, SDES_TOKEN_EXACT, SDES_VALUE, SDES_VALUE, !=)           \
	RELATION(prefix##_ne_vt, type, SDES_TOKEN_EXACT, SDES_VALUE, SDES_PLAIN, !=)           \
	RELATION(prefix##_ne_tv, type, SDES_TOKEN_EXACT, SDES_PLAIN, SDES_VALUE, !=)

TYPE_COMPARISONS(enc_text, sdes_type_text)
TYPE_COMPARISONS(enc_pan, sdes_type_pan)

/* By the lower-cased text; a text is taken as lower-cased already. */
COMPARISONS(enc_text_ci, vv, sdes_type_text, SDES_TOKEN_LOWER, SDES_VALUE, SDES_VALUE)
COMPARISONS(enc_text_ci, vt, sdes_type_text, SDES_TOKEN_LOWER, SDES_VALUE, SDES_PLAIN)
COMPARISONS(enc_text_ci, tv, sdes_type_text, SDES_TOKEN_LOWER, SDES_PLAIN, SDES_VALUE)
COMPARISONS(enc_text_ci, tt, sdes_type_text, SDES_TOKEN_LOWER, SDES_PLAIN, SDES_PLAIN)

static Datum
hash_of(SdesToken token)
{
	return UInt32GetDatum(hash_bytes(token.token, SDES_TOKEN_SIZE));
}

static Datum
hash(const SdesType *type, SdesTokenKind kind, SdesSide side, Datum argument)
{
	return hash_of(sdes_hash_token(type, kind, side, argument));
}

static Datum
hash_extended(const SdesType *type, SdesTokenKind kind, SdesSide side, Datum argument,
              uint64 seed)
{
	SdesToken token = sdes_hash_token(type, kind, side, argument);

	return UInt64GetDatum(hash_bytes_extended(token.token, SDES_TOKEN_SIZE, seed));
}

#define HASHES(prefix, side_name, type, kind, side)                                        \
	SDES_FUNCTION(prefix##_hash_##side_name,                                               \
	              return hash(&(type), kind, side, PG_GETARG_DATUM(0)))                    \
	SDES_FUNCTION(                                                                         \
	    prefix##_hash_extended_##side_name,                                                \
	    return hash_extended(&(type), kind, side, PG_GETARG_DATUM(0), PG_GETARG_INT64(1)))

HASHES(enc_text, v, sdes_type_text, SDES_TOKEN_EXACT, SDES_VALUE)
HASHES(enc_text, t, sdes_type_text, SDES_TOKEN_EXACT, SDES_PLAIN)
HASHES(enc_pan, v, sdes_type_pan, SDES_TOKEN_EXACT, SDES_VALUE)
HASHES(enc_pan, t, sdes_type_pan, SDES_TOKEN_EXACT, SDES_PLAIN)
HASHES(enc_text_ci, v, sdes_type_text, SDES_TOKEN_LOWER, SDES_VALUE)
HASHES(enc_text_ci, t, sdes_type_text, SDES_TOKEN_LOWER, SDES_PLAIN)

/* By the search key that is to be; see sdes_compare_next(). */
#define NEXT_RELATION(name, kind, relation)                                                \
	SDES_FUNCTION(name, PG_RETURN_BOOL(sdes_compare_next(kind, fcinfo) relation 0))

#define NEXT(prefix, kind)                                                                 \
	NEXT_RELATION(prefix##_next_eq, kind, ==)                                              \
	NEXT_RELATION(prefix##_next_lt, kind, <)                                               \
	NEXT_RELATION(prefix##_next_le, kind, <=)                                              \
	NEXT_RELATION(prefix##_next_ge, kind, >=)                                              \
	NEXT_RELATION(prefix##_next_gt, kind, >)                                               \
	SDES_FUNCTION(prefix##_next_cmp, PG_RETURN_INT32(sdes_compare_next(kind, fcinfo)))     \
	SDES_FUNCTION(prefix##_next_hash,                                                      \
	              return hash_of(sdes_next_token(kind, PG_GETARG_DATUM(0))))

NEXT(enc_text, SDES_TOKEN_EXACT)
NEXT(enc_pan, SDES_TOKEN_EXACT)
NEXT(enc_text_ci, SDES_TOKEN_LOWER)
