/*
 * explain.h
 *		What EXPLAIN says of encrypted columns. Private to this room.
 */
#ifndef SDES_EXPLAIN_H
#define SDES_EXPLAIN_H

extern void sdes_explain_init(void);

#endif
