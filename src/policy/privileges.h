/*
 * privileges.h
 *		Grants, and the names of privileges. Private to this room.
 */
#ifndef SDES_PRIVILEGES_H
#define SDES_PRIVILEGES_H

#include "postgres.h"

#include "store/store.h"

typedef struct SdesGrant
{
	uint8 bucket[SDES_UUID_SIZE];
	Oid role; /* InvalidOid: public */
	int privilege;
	bool forced;
} SdesGrant;

/* Turns a row into a grant; false when its role is not (or no longer) there. */
extern bool sdes_grant_of_row(const SdesAccessRow *row, SdesGrant *grant);

/* One SDES_PRIVILEGE_* bit, 0 for an unknown name. */
extern int sdes_privilege_by_name(const char *name);
extern const char *sdes_privilege_name(int privilege);

#endif
