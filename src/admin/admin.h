/*
 * admin.h
 *		What the functions of this room share. Private to it.
 */
#ifndef SDES_ADMIN_H
#define SDES_ADMIN_H

#include "postgres.h"

/* The SdesKekKind of its name in SQL; an error for any other word. */
extern uint8 sdes_parse_kek_kind(const char *kek);

#endif
