/*
 * log.h
 *		The agent's log (standard error, which is the server's log when a
 *		supervisor started the agent), and the clock its deadlines are on.
 *
 * No PIN, key, secret or PIN command ever goes into a line.
 */
#ifndef SDES_AGENT_LOG_H
#define SDES_AGENT_LOG_H

#include <stdint.h>

/* Writes one line "sdes_agent: ..."; safe in any thread. */
extern void sdes_agent_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Milliseconds of a clock that never jumps. */
extern int64_t sdes_agent_now(void);

#endif
