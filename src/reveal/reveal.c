/*
 * reveal.c
 *		sdes.reveal(): what the current user may see of a value.
 */
#include "postgres.h"

#include "sdes_compat.h"
#include "types/mask.h"
#include "value/value.h"

SDES_SQL_FUNCTION(sdes_reveal_text);

Datum
sdes_reveal_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(
	    sdes_value_reveal(PG_GETARG_VARLENA_PP(0), SDES_TYPE_TEXT, sdes_mask_text));
}
