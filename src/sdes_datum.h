/*
 * sdes_datum.h
 *		Bytes as SQL values.
 */
#ifndef SDES_DATUM_H
#define SDES_DATUM_H

#include "postgres.h"

/* 16 bytes as a uuid, palloc'd. */
extern Datum sdes_uuid_datum(const uint8 *bytes);

/* The same as a bytea. */
extern Datum sdes_bytea_datum(const void *data, size_t size);

#endif
