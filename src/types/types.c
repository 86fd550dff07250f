/*
 * types.c
 *		Input, output and casts, the same for every encrypted type.
 *
 * Output and send always give ciphertext, whoever asks: that makes dumps,
 * COPY, logical decoding, EXPLAIN and error details safe by construction.
 * Plaintext leaves by the casts to text and by sdes.reveal() alone.
 */
#include "postgres.h"

#include "types/types.h"

#include "envelope/armor.h"
#include "libpq/pqformat.h"
#include "types/loading.h"
#include "utils/builtins.h"

const SdesType *const sdes_types[SDES_NTYPES] = {
    [SDES_ENC_TEXT] = &sdes_type_text,
    [SDES_ENC_PAN] = &sdes_type_pan,
};

/* Ciphertext is no plaintext to check; it is refused, or must be authentic. */
static struct varlena *
take(const SdesType *type, SdesPlain plain, int32 typmod)
{
	if (type->check && !sdes_armor_marked(sdes_bytes(plain.data, plain.size)))
		type->check(plain);
	return sdes_value_from_text(plain, type, typmod);
}

Datum
sdes_type_in(const SdesType *type, PG_FUNCTION_ARGS)
{
	char *input = PG_GETARG_CSTRING(0);

	PG_RETURN_POINTER(take(type, (SdesPlain){input, strlen(input)}, PG_GETARG_INT32(2)));
}

Datum
sdes_type_out(PG_FUNCTION_ARGS)
{
	size_t size;

	PG_RETURN_CSTRING(sdes_value_armor(PG_GETARG_VARLENA_PP(0), &size));
}

/* Binary input is an envelope or, as for text, characters. */
Datum
sdes_type_recv(const SdesType *type, PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	SdesBytes left = sdes_bytes(buf->data + buf->cursor, buf->len - buf->cursor);
	SdesPlain plain;
	int size;

	if (sdes_envelope_marked(left))
	{
		buf->cursor = buf->len;
		PG_RETURN_POINTER(sdes_value_from_envelope(left, type, typmod));
	}
	plain.data = pq_getmsgtext(buf, buf->len - buf->cursor, &size);
	plain.size = size;
	PG_RETURN_POINTER(take(type, plain, typmod));
}

Datum
sdes_type_send(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	SdesBytes envelope = sdes_value_envelope(value);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, (const char *) envelope.data, (int) envelope.size);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* The arguments of these three are value, typmod, is_explicit. */
Datum
sdes_type_from_text(const SdesType *type, PG_FUNCTION_ARGS)
{
	text *input = PG_GETARG_TEXT_PP(0);
	SdesPlain plain = {VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};

	PG_RETURN_POINTER(take(type, plain, PG_GETARG_INT32(1)));
}

/* Blanks at the end of a char(n) mean nothing, as in its cast to text. */
Datum
sdes_type_from_bpchar(const SdesType *type, PG_FUNCTION_ARGS)
{
	BpChar *input = PG_GETARG_BPCHAR_PP(0);
	SdesPlain plain = {VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};

	while (plain.size > 0 && plain.data[plain.size - 1] == ' ')
		plain.size--;
	PG_RETURN_POINTER(take(type, plain, PG_GETARG_INT32(1)));
}

/* Into the bucket of a column. */
Datum
sdes_type_coerce(const SdesType *type, PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);

	PG_RETURN_POINTER(sdes_value_reseal(value, type, PG_GETARG_INT32(1)));
}

Datum
sdes_type_to_text(const SdesType *type, PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);

	if (sdes_is_loading() && !sdes_value_can_open(value) &&
	    sdes_loading_passes(fcinfo->flinfo))
		PG_RETURN_NULL();
	sdes_value_note_opened();
	PG_RETURN_TEXT_P(sdes_value_open(value, type));
}
