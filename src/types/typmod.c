/*
 * typmod.c
 *		enc_text('customer_pii'): the bucket as a type modifier.
 *
 * A type modifier is 31 bits: the 26-bit hash of the bucket's name and 5 flag
 * bits, which say what tokens values carry. It depends on the name alone, so that
 * a dump's DDL, which comes before the bucket's row, means the same bucket.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "sdes_compat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "value/value.h"

SDES_SQL_FUNCTION(enc_text_typmod_in);
SDES_SQL_FUNCTION(enc_pan_typmod_in);
SDES_SQL_FUNCTION(enc_text_typmod_out);

/* '#1a2b3c4': how a modifier prints when its bucket's row is missing. */
static bool
parse_hash(const char *name, int32 *hash)
{
	char *end;
	unsigned long value = strtoul(name + 1, &end, 16);

	*hash = (int32) value;
	return end == name + 8 && *end == '\0' && value < (1UL << 26);
}

static void
report_no_bucket(const char *name)
{
	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_OBJECT),
	         errmsg("bucket \"%s\" does not exist", name),
	         errhint("See SELECT name FROM sdes.buckets. A new one is made by SELECT "
	                 "sdes.create_bucket(%s).",
	                 quote_literal_cstr(name))));
}

static int32
parse_flag(const char *word, bool has_ci)
{
	if (strcmp(word, "searchable") == 0)
		return SDES_SEARCHABLE;
	if (has_ci && strcmp(word, "searchable_ci") == 0)
		return SDES_SEARCHABLE_CI;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("unrecognized option of an encrypted type: \"%s\"", word),
	                has_ci ? errhint("After the bucket there can be 'searchable' and "
	                                 "'searchable_ci'.")
	                       : errhint("After the bucket there can be 'searchable'.")));
	return 0;
}

/* While a dump is being restored the rows of buckets come after the DDL. */
static int32
parse_bucket(const char *name)
{
	SdesBucketRow row;
	int32 hash = 0;

	if (name[0] != '#')
		hash = sdes_bucket_hash(name);
	else if (check_function_bodies || !parse_hash(name, &hash) ||
	         hash == sdes_bucket_hash(SDES_SYSTEM_BUCKET))
		report_no_bucket(name);
	if (check_function_bodies &&
	    (!sdes_store_bucket_by_name(name, &row) || row.system || row.hash != hash))
		report_no_bucket(name);
	return hash;
}

static Datum
typmod_in(ArrayType *array, bool has_ci)
{
	Datum *elements;
	int n;
	int32 flags = 0;

	deconstruct_array(array, CSTRINGOID, -2, false, TYPALIGN_CHAR, &elements, NULL, &n);
	if (n < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("an encrypted type takes the name of a bucket"),
		                errhint("For example sdes.enc_text('customer_pii').")));
	for (int i = 1; i < n; i++)
		flags |= parse_flag(DatumGetCString(elements[i]), has_ci);
	return Int32GetDatum(SDES_TYPMOD(parse_bucket(DatumGetCString(elements[0])), flags));
}

Datum
enc_text_typmod_in(PG_FUNCTION_ARGS)
{
	return typmod_in(PG_GETARG_ARRAYTYPE_P(0), true);
}

Datum
enc_pan_typmod_in(PG_FUNCTION_ARGS)
{
	return typmod_in(PG_GETARG_ARRAYTYPE_P(0), false);
}

Datum
enc_text_typmod_out(PG_FUNCTION_ARGS)
{
	int32 typmod = PG_GETARG_INT32(0);
	int32 hash = SDES_TYPMOD_HASH(typmod);
	const char *name;
	SdesBucketRow row;

	if (typmod < 0)
		PG_RETURN_CSTRING(pstrdup(""));
	if (OidIsValid(sdes_schema_oid()) && sdes_store_bucket_by_hash(hash, &row))
		name = quote_literal_cstr(row.name);
	else
		name = psprintf("'#%07x'", hash);
	PG_RETURN_CSTRING(psprintf("(%s%s%s)", name,
	                           typmod & SDES_SEARCHABLE ? ", 'searchable'" : "",
	                           typmod & SDES_SEARCHABLE_CI ? ", 'searchable_ci'" : ""));
}
