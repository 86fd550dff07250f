/*
 * text.h
 *		Texts of SQL without their constants, allocated where an error may be under way.
 *		Private to this room.
 */
#ifndef SDES_REDACT_TEXT_H
#define SDES_REDACT_TEXT_H

#include "postgres.h"

#include "sqltext/sqltext.h"

/*
 * In the current memory context, or a constant where there is no memory for it; NULL for
 * NULL. Raises no error.
 */
extern const char *sdes_redacted(const char *text, SdesSqlKind kind);

#endif
