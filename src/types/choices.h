/*
 * choices.h
 *		Constants in COALESCE, CASE, GREATEST and LEAST that are made a text. Private to
 *		this room, but for its beginning.
 */
#ifndef SDES_CHOICES_H
#define SDES_CHOICES_H

/* Moves casts of choices into their branches from here on; called once when preloaded. */
extern void sdes_choices_init(void);

#endif
