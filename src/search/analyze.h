/*
 * analyze.h
 *		ANALYZE and encrypted columns. Private to this room.
 */
#ifndef SDES_ANALYZE_H
#define SDES_ANALYZE_H

extern void sdes_analyze_init(void);

#endif
