/*
 * reveal.c
 *		sdes.reveal(): what the current user may see of a value.
 */
#include "postgres.h"

#include "reveal/batch.h"
#include "sdes_compat.h"
#include "types/types.h"

SDES_SQL_FUNCTION(sdes_reveal_text);
SDES_SQL_FUNCTION(sdes_reveal_pan);

static Datum
reveal(const SdesType *type, PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	text *stand_in = sdes_batch_defer(fcinfo, value, type);

	if (stand_in != NULL)
		PG_RETURN_TEXT_P(stand_in);
	sdes_value_note_opened();
	PG_RETURN_TEXT_P(sdes_value_reveal(value, type));
}

Datum
sdes_reveal_text(PG_FUNCTION_ARGS)
{
	return reveal(&sdes_type_text, fcinfo);
}

Datum
sdes_reveal_pan(PG_FUNCTION_ARGS)
{
	return reveal(&sdes_type_pan, fcinfo);
}
