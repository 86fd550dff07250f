/*
 * buckets.h
 *		The cache of bucket rows. Private to this room; what others call is in
 *		keyring.h.
 */
#ifndef SDES_BUCKETS_H
#define SDES_BUCKETS_H

extern void sdes_buckets_init(void);

#endif
