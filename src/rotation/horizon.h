/*
 * horizon.h
 *		What could still bring back, or need, values under a key that is gone from all
 *		tables. Private to this room.
 */
#ifndef SDES_HORIZON_H
#define SDES_HORIZON_H

#include "postgres.h"

#include "store/store.h"

/*
 * NULL when no transaction and no snapshot is left, prepared ones and those of replicas
 * that are told of included, that began before that row of sdes.dek was written; else
 * what there is.
 */
extern const char *sdes_horizon_transactions(const SdesDekRow *row);

/*
 * NULL when every standby and subscriber that has a slot or is connected has come to
 * that position of the WAL; else which has not.
 */
extern const char *sdes_horizon_replicas(XLogRecPtr position);

/* How far the replica that lags most is behind, in bytes; 0 when there is none. */
extern uint64 sdes_horizon_lag(void);

#endif
