/*
 * json.h
 *		A record as JSON. Private to this room.
 */
#ifndef SDES_AUDITOR_JSON_H
#define SDES_AUDITOR_JSON_H

#include "journal/record.h"

#include <stdio.h>

/*
 * One line: sequence, time (RFC 3339, UTC), kind, then the fields by their names: numbers
 * as numbers, bytes as hexadecimal; a field that is not known here as "field_77", its
 * bytes. At the end the hash. False when there is no memory or the line cannot be written.
 */
extern bool sdes_print_json(const SdesRecord *record, FILE *out);

#endif
