/*
 * message.h
 *		What the server log gets of a message. Private to this room.
 */
#ifndef SDES_REDACT_MESSAGE_H
#define SDES_REDACT_MESSAGE_H

#include "postgres.h"

#include "sqltext/sqltext.h"

/*
 * Puts other texts into the fields of a message, in the current memory context, without
 * what a client may have sent: constants of statements, parameters, lines of COPY, input
 * that is none. Its internal query is a statement of that kind. Raises no error.
 */
extern void sdes_redact_message(ErrorData *edata, SdesSqlKind statement);

#endif
