/*
 * encoding.c
 *		Server encoding to UTF-8 and back.
 *
 * PostgreSQL's own conversion functions name the bytes they choke on; those
 * are plaintext, so the conversions here are asked not to complain and this
 * file raises an error that names nothing.
 */
#include "postgres.h"

#include "value/encoding.h"

#include "catalog/namespace.h"
#include "crypto/secret.h"
#include "mb/pg_wchar.h"
#include "sdes_compat.h"
#include "sdes_errors.h"

/* The worst growth of any conversion between server encodings and UTF-8. */
#define GROWTH MAX_CONVERSION_GROWTH

static void
report_unrepresentable(void)
{
	ereport(ERROR,
	        (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
	         errmsg("encrypted value cannot be represented in the encoding \"%s\" of this "
	                "database",
	                GetDatabaseEncodingName()),
	         SDES_KEEP_OUT_OF_LOG));
}

/* Converts all of src; the result is palloc'd, of *size bytes, NULL when src cannot be. */
static char *
convert(const char *src, size_t n, int from, int to, size_t *size)
{
	Oid proc = FindDefaultConversionProc(from, to);
	size_t room = n * GROWTH + 1;
	char *out;
	int done;

	if (!OidIsValid(proc) || n > INT_MAX / GROWTH)
		return NULL;
	out = MemoryContextAllocHuge(CurrentMemoryContext, room);
	done = pg_do_encoding_conversion_buf(proc, from, to, (unsigned char *) src, (int) n,
	                                     (unsigned char *) out, (int) room, true);
	if (done != (int) n)
	{
		sdes_wipe(out, room);
		pfree(out);
		return NULL;
	}
	*size = strlen(out);
	return out;
}

void
sdes_to_utf8(SdesPlain plain, SdesUtf8 *out)
{
	int encoding = GetDatabaseEncoding();

	out->bytes = sdes_bytes(plain.data, plain.size);
	out->valid = true;
	out->owned = NULL;
	if (encoding == PG_UTF8)
		return;
	if (encoding == PG_SQL_ASCII)
		out->valid = pg_verify_mbstr(PG_UTF8, plain.data, (int) plain.size, true);
	else
	{
		out->owned = convert(plain.data, plain.size, encoding, PG_UTF8, &out->bytes.size);
		if (out->owned == NULL)
			report_unrepresentable();
		out->bytes.data = (uint8 *) out->owned;
	}
}

void
sdes_utf8_free(SdesUtf8 *utf8)
{
	if (utf8->owned == NULL)
		return;
	sdes_wipe(utf8->owned, utf8->bytes.size);
	pfree(utf8->owned);
	utf8->owned = NULL;
}

static text *
from_utf8_converted(text *plain, int encoding)
{
	size_t size;
	char *converted =
	    convert(VARDATA(plain), VARSIZE(plain) - VARHDRSZ, PG_UTF8, encoding, &size);
	text *result;

	sdes_wipe(VARDATA(plain), VARSIZE(plain) - VARHDRSZ);
	pfree(plain);
	if (converted == NULL)
		report_unrepresentable();
	result = palloc(VARHDRSZ + size);
	SET_VARSIZE(result, VARHDRSZ + size);
	memcpy(VARDATA(result), converted, size);
	sdes_wipe(converted, size);
	pfree(converted);
	return result;
}

text *
sdes_from_utf8(text *plain, bool is_utf8)
{
	int encoding = GetDatabaseEncoding();

	if (encoding == PG_SQL_ASCII || (is_utf8 && encoding == PG_UTF8))
		return plain;
	if (is_utf8)
		return from_utf8_converted(plain, encoding);
	/* Nobody knows what characters these bytes were; any encoding is a guess. */
	sdes_wipe(VARDATA(plain), VARSIZE(plain) - VARHDRSZ);
	pfree(plain);
	report_unrepresentable();
	return NULL;
}
