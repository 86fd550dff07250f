/*
 * policy.h
 *		Who may encrypt, search, mask and decrypt the values of a bucket.
 *
 * The current role must hold the privilege, itself or by a role whose
 * privileges it inherits, so that SET ROLE and SECURITY DEFINER behave as they
 * do elsewhere in PostgreSQL. If the user who logged in is a superuser, that
 * user must hold it too: becoming another role does not get a superuser in.
 * For a superuser only a grant to that very role counts.
 */
#ifndef SDES_POLICY_H
#define SDES_POLICY_H

#include "postgres.h"

#include "store/store.h"

#define SDES_PRIVILEGE_ENCRYPT 0x01
#define SDES_PRIVILEGE_SEARCH  0x02
#define SDES_PRIVILEGE_MASK    0x04
#define SDES_PRIVILEGE_DECRYPT 0x08

/* Stands for every role but superusers; spelled like PostgreSQL's own. */
#define SDES_PUBLIC "public"

extern void sdes_policy_init(void);

/*
 * Notes at a session's first statement whether a superuser logged in, before a
 * statement can change that.
 */
extern void sdes_policy_remember_login(void);

/*
 * Has the answers for the current user and every bucket with a grant at hand, so
 * that comparisons under a lock need no catalog. There a change of grants counts from
 * the next question without a lock.
 */
extern void sdes_policy_prepare(void);

/* Whether the current user holds one of these privileges on any bucket. */
extern bool sdes_policy_anywhere(int privileges);

/* What the current user may do with that bucket: SDES_PRIVILEGE_* bits. */
extern int sdes_policy_privileges(const uint8 *bucket);

/*
 * Raises an error unless the current user holds that one privilege. The hint
 * is the grant_access() call that would help.
 */
extern void sdes_policy_require(const uint8 *bucket, int privilege);

/* Whether the current user is a superuser or a member of role. */
extern bool sdes_policy_is_member(const char *role);

/* Raises an error unless the current user is a superuser or a member of role. */
extern void sdes_policy_require_member(const char *role, const char *action);

#endif
