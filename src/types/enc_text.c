/*
 * enc_text.c
 *		The type enc_text: input, output, and casts.
 *
 * Output and send always give ciphertext, whoever asks: that makes dumps,
 * COPY, logical decoding, EXPLAIN and error details safe by construction.
 * Plaintext leaves by the casts to text and by sdes.reveal() alone.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "sdes_compat.h"
#include "utils/builtins.h"
#include "value/value.h"

SDES_SQL_FUNCTION(enc_text_in);
SDES_SQL_FUNCTION(enc_text_out);
SDES_SQL_FUNCTION(enc_text_recv);
SDES_SQL_FUNCTION(enc_text_send);
SDES_SQL_FUNCTION(enc_text_from_text);
SDES_SQL_FUNCTION(enc_text_from_bpchar);
SDES_SQL_FUNCTION(enc_text_from_enc_text);
SDES_SQL_FUNCTION(enc_text_to_text);

Datum
enc_text_in(PG_FUNCTION_ARGS)
{
	char *input = PG_GETARG_CSTRING(0);
	int32 typmod = PG_GETARG_INT32(2);
	SdesPlain plain = {input, strlen(input)};

	PG_RETURN_POINTER(sdes_value_from_text(plain, SDES_TYPE_TEXT, typmod));
}

Datum
enc_text_out(PG_FUNCTION_ARGS)
{
	size_t size;

	PG_RETURN_CSTRING(sdes_value_armor(PG_GETARG_VARLENA_PP(0), &size));
}

/* Binary input is an envelope or, as for text, characters. */
Datum
enc_text_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	SdesBytes left = sdes_bytes(buf->data + buf->cursor, buf->len - buf->cursor);
	SdesPlain plain;
	int size;

	if (sdes_envelope_marked(left))
	{
		buf->cursor = buf->len;
		PG_RETURN_POINTER(sdes_value_from_envelope(left, SDES_TYPE_TEXT, typmod));
	}
	plain.data = pq_getmsgtext(buf, buf->len - buf->cursor, &size);
	plain.size = size;
	PG_RETURN_POINTER(sdes_value_from_text(plain, SDES_TYPE_TEXT, typmod));
}

Datum
enc_text_send(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	SdesBytes envelope = sdes_value_envelope(value);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, (const char *) envelope.data, (int) envelope.size);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* enc_text(text, typmod, is_explicit); varchar is the same to C. */
Datum
enc_text_from_text(PG_FUNCTION_ARGS)
{
	text *input = PG_GETARG_TEXT_PP(0);
	SdesPlain plain = {VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};

	PG_RETURN_POINTER(sdes_value_from_text(plain, SDES_TYPE_TEXT, PG_GETARG_INT32(1)));
}

/* Blanks at the end of a char(n) mean nothing, as in its cast to text. */
Datum
enc_text_from_bpchar(PG_FUNCTION_ARGS)
{
	BpChar *input = PG_GETARG_BPCHAR_PP(0);
	SdesPlain plain = {VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input)};

	while (plain.size > 0 && plain.data[plain.size - 1] == ' ')
		plain.size--;
	PG_RETURN_POINTER(sdes_value_from_text(plain, SDES_TYPE_TEXT, PG_GETARG_INT32(1)));
}

/* The length coercion: into the bucket of a column. */
Datum
enc_text_from_enc_text(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);

	PG_RETURN_POINTER(sdes_value_reseal(value, SDES_TYPE_TEXT, PG_GETARG_INT32(1)));
}

/* To text, varchar and bpchar. */
Datum
enc_text_to_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(sdes_value_open(PG_GETARG_VARLENA_PP(0), SDES_TYPE_TEXT));
}
