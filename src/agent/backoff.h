/*
 * backoff.h
 *		How long to wait before the next try of what failed.
 *
 * Random, so that agents of many servers that lost the same HSM do not come
 * back to it in step; bounded, so that service is back within seconds of it.
 */
#ifndef SDES_AGENT_BACKOFF_H
#define SDES_AGENT_BACKOFF_H

#define SDES_BACKOFF_MIN_MS 100
#define SDES_BACKOFF_MAX_MS 3000

/*
 * The next wait in milliseconds, after the previous one (0: there was none):
 * between the minimum and three times the previous, at most the maximum.
 */
extern int sdes_backoff_next(int previous_ms);

#endif
