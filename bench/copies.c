/*
 * copies.c
 *		The floor of what is measured: values as large as sdes' that are only copied.
 *
 * A value is so many bytes and then the text: what bytes, calls and memory cost where
 * nothing is encrypted, checked or recorded.
 */
#include "postgres.h"

#include "sdes_compat.h"

PG_MODULE_MAGIC;

SDES_SQL_FUNCTION(copy_in);
SDES_SQL_FUNCTION(copy_out);

/* copy_in(text, more integer): a value that is so many bytes longer, at most 255. */
Datum
copy_in(PG_FUNCTION_ARGS)
{
	text *given = PG_GETARG_TEXT_PP(0);
	int more = PG_GETARG_INT32(1);
	Size size = VARSIZE_ANY_EXHDR(given);
	bytea *made;

	if (more < 1 || more > 255)
		elog(ERROR, "a value must be 1 to 255 bytes longer");
	made = palloc(VARHDRSZ + more + size);
	SET_VARSIZE(made, VARHDRSZ + more + size);
	memset(VARDATA(made), more, more);
	memcpy(VARDATA(made) + more, VARDATA_ANY(given), size);
	PG_RETURN_BYTEA_P(made);
}

/* copy_out(bytea): the text. */
Datum
copy_out(PG_FUNCTION_ARGS)
{
	bytea *value = PG_GETARG_BYTEA_PP(0);
	Size size = VARSIZE_ANY_EXHDR(value);
	const char *data = VARDATA_ANY(value);
	Size more = size > 0 ? (unsigned char) data[0] : 0;
	text *made;

	if (more < 1 || more > size)
		elog(ERROR, "the value was not made by copy_in()");
	made = palloc(VARHDRSZ + size - more);
	SET_VARSIZE(made, VARHDRSZ + size - more);
	memcpy(VARDATA(made), data + more, size - more);
	PG_RETURN_TEXT_P(made);
}
