/*
 * privileges.h
 *		Names of privileges. Private to this room.
 */
#ifndef SDES_PRIVILEGES_H
#define SDES_PRIVILEGES_H

/* One SDES_PRIVILEGE_* bit, 0 for an unknown name. */
extern int sdes_privilege_by_name(const char *name);
extern const char *sdes_privilege_name(int privilege);

#endif
