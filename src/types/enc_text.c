/*
 * enc_text.c
 *		The type enc_text: any text, the empty one too.
 */
#include "postgres.h"

#include "types/types.h"

#include "mb/pg_wchar.h"
#include "sdes_compat.h"

#define SHORTEST 4
#define LONGEST  64

SDES_SQL_FUNCTION(enc_text_in);
SDES_SQL_FUNCTION(enc_text_out);
SDES_SQL_FUNCTION(enc_text_recv);
SDES_SQL_FUNCTION(enc_text_send);
SDES_SQL_FUNCTION(enc_text_from_text);
SDES_SQL_FUNCTION(enc_text_from_bpchar);
SDES_SQL_FUNCTION(enc_text_from_enc_text);
SDES_SQL_FUNCTION(enc_text_to_text);

static text *
make_mask(const char *head, int head_size, int stars)
{
	text *mask = palloc(VARHDRSZ + head_size + stars);

	SET_VARSIZE(mask, VARHDRSZ + head_size + stars);
	memcpy(VARDATA(mask), head, head_size);
	memset(VARDATA(mask) + head_size, '*', stars);
	return mask;
}

/*
 * The first character, and asterisks up to the next of 8, 16, 32 or 64
 * characters: a length class, not the length. Values of up to four characters,
 * of which the first would tell too much, are four asterisks.
 */
static text *
mask_text(const text *plain)
{
	const char *data = VARDATA_ANY(plain);
	int characters = pg_mbstrlen_with_len(data, VARSIZE_ANY_EXHDR(plain));
	int class = 2 * SHORTEST;

	if (characters <= SHORTEST)
		return make_mask("", 0, SHORTEST);
	while (class < characters && class < LONGEST)
		class *= 2;
	return make_mask(data, pg_mblen(data), class - 1);
}

static bool
is_length_class(int characters)
{
	for (int class = 2 * SHORTEST; class <= LONGEST; class *= 2)
		if (characters == class)
			return true;
	return false;
}

/* What mask_text() makes: asterisks after a first character, or four of them. */
static bool
looks_masked(SdesPlain plain)
{
	int first = plain.size > 0 ? pg_mblen(plain.data) : 0;

	if (plain.size < SHORTEST || plain.size > LONGEST + MAX_MULTIBYTE_CHAR_LEN)
		return false;
	for (size_t i = plain.size == SHORTEST ? 0 : (size_t) first; i < plain.size; i++)
		if (plain.data[i] != '*')
			return false;
	return plain.size == SHORTEST || is_length_class((int) plain.size - first + 1);
}

const SdesType sdes_type_text = {
    .tag = SDES_TYPE_TEXT,
    .ci_tag = SDES_TYPE_TEXT_CI,
    .mask = mask_text,
    .looks_masked = looks_masked,
};

Datum
enc_text_in(PG_FUNCTION_ARGS)
{
	return sdes_type_in(&sdes_type_text, fcinfo);
}

Datum
enc_text_out(PG_FUNCTION_ARGS)
{
	return sdes_type_out(fcinfo);
}

Datum
enc_text_recv(PG_FUNCTION_ARGS)
{
	return sdes_type_recv(&sdes_type_text, fcinfo);
}

Datum
enc_text_send(PG_FUNCTION_ARGS)
{
	return sdes_type_send(fcinfo);
}

Datum
enc_text_from_text(PG_FUNCTION_ARGS)
{
	return sdes_type_from_text(&sdes_type_text, fcinfo);
}

Datum
enc_text_from_bpchar(PG_FUNCTION_ARGS)
{
	return sdes_type_from_bpchar(&sdes_type_text, fcinfo);
}

Datum
enc_text_from_enc_text(PG_FUNCTION_ARGS)
{
	return sdes_type_coerce(&sdes_type_text, fcinfo);
}

Datum
enc_text_to_text(PG_FUNCTION_ARGS)
{
	return sdes_type_to_text(&sdes_type_text, fcinfo);
}
