/*
 * sdes_datum.c
 *		Bytes as SQL values.
 */
#include "postgres.h"

#include "sdes_datum.h"

#include "sdes_compat.h"
#include "utils/uuid.h"

Datum
sdes_uuid_datum(const uint8 *bytes)
{
	pg_uuid_t *uuid = palloc(sizeof(pg_uuid_t));

	memcpy(uuid->data, bytes, sizeof(uuid->data));
	return UUIDPGetDatum(uuid);
}

Datum
sdes_bytea_datum(const void *data, size_t size)
{
	bytea *made = palloc(VARHDRSZ + size);

	SET_VARSIZE(made, VARHDRSZ + size);
	if (size > 0) /* of no bytes there may be no pointer */
		memcpy(VARDATA(made), data, size);
	return PointerGetDatum(made);
}
