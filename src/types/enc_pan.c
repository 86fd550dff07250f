/*
 * enc_pan.c
 *		The type enc_pan: payment card numbers (PANs), as they were typed.
 *
 * What is not one is refused without being repeated: it may well be one with a
 * slip in it. (That a client shows its own statement beside an error, as psql
 * does, is the client's doing.)
 */
#include "postgres.h"

#include "types/types.h"

#include "crypto/secret.h"
#include "pan/pan.h"
#include "sdes_compat.h"
#include "sdes_errors.h"

SDES_SQL_FUNCTION(enc_pan_in);
SDES_SQL_FUNCTION(enc_pan_out);
SDES_SQL_FUNCTION(enc_pan_recv);
SDES_SQL_FUNCTION(enc_pan_send);
SDES_SQL_FUNCTION(enc_pan_from_text);
SDES_SQL_FUNCTION(enc_pan_from_bpchar);
SDES_SQL_FUNCTION(enc_pan_from_enc_pan);
SDES_SQL_FUNCTION(enc_pan_to_text);

/* Which rule a text breaks. Not the brand: that would be its first digits. */
static const char *const details[] = {
    [SDES_PAN_CHARACTER] = "It has a character that is no digit, space or hyphen.",
    [SDES_PAN_SEPARATOR] = "It has a space or hyphen that is not between two digits.",
    [SDES_PAN_TOO_SHORT] = "It has fewer than 12 digits.",
    [SDES_PAN_TOO_LONG] = "It has more than 19 digits.",
    [SDES_PAN_LENGTH] = "Its brand has no numbers of that many digits.",
    [SDES_PAN_CHECK_DIGIT] = "Its last digit is not the check digit of the others.",
};

static void
check_pan(SdesPlain plain)
{
	SdesPan pan;
	SdesPanFault fault = sdes_pan_parse(sdes_bytes(plain.data, plain.size), &pan);

	sdes_wipe(&pan, sizeof(pan));
	if (fault != SDES_PAN_VALID)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
		         errmsg("value is not a card number"),
		         errdetail_internal("%s", details[fault]),
		         errhint("A card number has 12 to 19 digits, and one space or hyphen "
		                 "at most between two of them. A missing one is NULL."),
		         SDES_KEEP_OUT_OF_LOG));
}

/* What is no card number by now shows nothing, not even its length. */
static text *
mask_pan(const text *plain)
{
	SdesBytes number = sdes_bytes(VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
	text *mask = palloc(VARHDRSZ + SDES_PAN_MAX_TEXT);
	size_t size = number.size;

	if (!sdes_pan_mask(number, VARDATA(mask)))
	{
		size = 4;
		memset(VARDATA(mask), '*', size);
	}
	SET_VARSIZE(mask, VARHDRSZ + size);
	return mask;
}

const SdesType sdes_type_pan = {
    .tag = SDES_TYPE_PAN,
    .check = check_pan,
    .mask = mask_pan,
    .essence = sdes_pan_digits,
};

Datum
enc_pan_in(PG_FUNCTION_ARGS)
{
	return sdes_type_in(&sdes_type_pan, fcinfo);
}

Datum
enc_pan_out(PG_FUNCTION_ARGS)
{
	return sdes_type_out(fcinfo);
}

Datum
enc_pan_recv(PG_FUNCTION_ARGS)
{
	return sdes_type_recv(&sdes_type_pan, fcinfo);
}

Datum
enc_pan_send(PG_FUNCTION_ARGS)
{
	return sdes_type_send(fcinfo);
}

Datum
enc_pan_from_text(PG_FUNCTION_ARGS)
{
	return sdes_type_from_text(&sdes_type_pan, fcinfo);
}

Datum
enc_pan_from_bpchar(PG_FUNCTION_ARGS)
{
	return sdes_type_from_bpchar(&sdes_type_pan, fcinfo);
}

Datum
enc_pan_from_enc_pan(PG_FUNCTION_ARGS)
{
	return sdes_type_coerce(&sdes_type_pan, fcinfo);
}

Datum
enc_pan_to_text(PG_FUNCTION_ARGS)
{
	return sdes_type_to_text(&sdes_type_pan, fcinfo);
}
