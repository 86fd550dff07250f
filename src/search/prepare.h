/*
 * prepare.h
 *		Making ready for comparisons under locks. Private to this room.
 */
#ifndef SDES_PREPARE_H
#define SDES_PREPARE_H

extern void sdes_prepare_init(void);

#endif
