/*
 * privileges.c
 *		Names of privileges, as rows and grant_access() spell them.
 */
#include "postgres.h"

#include "policy/privileges.h"

#include "policy/policy.h"

static const struct
{
	const char *name;
	int privilege;
} names[] = {
    {"encrypt", SDES_PRIVILEGE_ENCRYPT},
    {"search", SDES_PRIVILEGE_SEARCH},
    {"mask", SDES_PRIVILEGE_MASK},
    {"decrypt", SDES_PRIVILEGE_DECRYPT},
};

int
sdes_privilege_by_name(const char *name)
{
	for (size_t i = 0; i < lengthof(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].privilege;
	return 0;
}

const char *
sdes_privilege_name(int privilege)
{
	for (size_t i = 0; i < lengthof(names); i++)
		if (names[i].privilege == privilege)
			return names[i].name;
	return "?";
}
