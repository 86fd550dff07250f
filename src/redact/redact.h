/*
 * redact.h
 *		Keeps values out of the server log.
 */
#ifndef SDES_REDACT_H
#define SDES_REDACT_H

/* Installs the log hook; called once when preloaded. */
extern void sdes_redact_init(void);

#endif
