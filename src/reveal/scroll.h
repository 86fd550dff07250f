/*
 * scroll.h
 *		Cursors that can be read backwards. Private to this room.
 */
#ifndef SDES_REVEAL_SCROLL_H
#define SDES_REVEAL_SCROLL_H

extern void sdes_scroll_init(void);

#endif
