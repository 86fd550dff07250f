/*
 * mask.c
 *		Masks, made from plaintext that the caller wipes.
 */
#include "postgres.h"

#include "types/mask.h"

#include "mb/pg_wchar.h"
#include "sdes_compat.h"

#define SHORTEST 4
#define LONGEST  64

static text *
make_mask(const char *head, int head_size, int stars)
{
	text *mask = palloc(VARHDRSZ + head_size + stars);

	SET_VARSIZE(mask, VARHDRSZ + head_size + stars);
	memcpy(VARDATA(mask), head, head_size);
	memset(VARDATA(mask) + head_size, '*', stars);
	return mask;
}

text *
sdes_mask_text(const text *plain)
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
