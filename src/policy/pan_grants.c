/*
 * pan_grants.c
 *		Looks for roles that could find out card numbers by guessing.
 *
 * A membership (GRANT role TO role) can add up to the same, and PostgreSQL has no place
 * where it could be refused: sdes.health() tells of it.
 */
#include "postgres.h"

#include "policy/pan_grants.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "policy/privileges.h"
#include "sdes_errors.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/rel.h"

#define GUESSING (SDES_PRIVILEGE_SEARCH | SDES_PRIVILEGE_ENCRYPT)

/* The grants of a bucket, of roles that are there. */
static List *
grants_of(const uint8 *bucket)
{
	List *grants = NIL;
	ListCell *cell;

	foreach (cell, sdes_store_access())
	{
		SdesGrant *grant = palloc(sizeof(SdesGrant));

		if (sdes_grant_of_row(lfirst(cell), grant) &&
		    memcmp(grant->bucket, bucket, SDES_UUID_SIZE) == 0)
			grants = lappend(grants, grant);
	}
	return grants;
}

/* Whether what is granted to one is granted to the role; InvalidOid: to anybody. */
static bool
is_concerned(Oid role, Oid of)
{
	return !OidIsValid(of) || role == of ||
	       (!superuser_arg(role) && has_privs_of_role(role, of));
}

/* As policy.c has it: for a superuser only a grant to that very role counts. */
static bool
holds(Oid role, const SdesGrant *grant)
{
	if (grant->role == role)
		return true;
	if (!OidIsValid(role) || superuser_arg(role))
		return false;
	return !OidIsValid(grant->role) || has_privs_of_role(role, grant->role);
}

/* InvalidOid is PUBLIC by itself. */
static bool
could_guess(Oid role, const List *grants)
{
	int all = 0;
	int unforced = 0;
	ListCell *cell;

	foreach (cell, grants)
	{
		const SdesGrant *grant = lfirst(cell);

		if (!holds(role, grant))
			continue;
		all |= grant->privilege;
		if (!grant->forced)
			unforced |= grant->privilege;
	}
	return (unforced & SDES_PRIVILEGE_MASK) && (unforced & GUESSING) &&
	       !(all & SDES_PRIVILEGE_DECRYPT);
}

/* The oldest of the roles that could and have the privileges of one; InvalidOid: none. */
static Oid
find_guesser(const List *grants, Oid of)
{
	Relation roles = table_open(AuthIdRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(roles, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	Oid found = InvalidOid;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid role = ((Form_pg_authid) GETSTRUCT(tuple))->oid;

		if ((!OidIsValid(found) || role < found) && is_concerned(role, of) &&
		    could_guess(role, grants))
			found = role;
	}
	systable_endscan(scan);
	table_close(roles, AccessShareLock);
	return found;
}

const char *
sdes_pan_guesser(const uint8 *bucket, Oid role)
{
	List *grants = grants_of(bucket);
	Oid found;

	if (!OidIsValid(role) && could_guess(InvalidOid, grants))
		return SDES_PUBLIC;
	if (OidIsValid(role) && could_guess(role, grants))
		return GetUserNameFromId(role, false);
	found = find_guesser(grants, role);
	return OidIsValid(found) ? GetUserNameFromId(found, false) : NULL;
}

/*
 * Revoking takes no such lock, and so never waits. The lock is one on the table as an
 * object, which nobody else takes; its rows can be read and written as ever.
 */
static void
lock(LOCKMODE mode)
{
	LockDatabaseObject(RelationRelationId, sdes_table_oid(SDES_TABLE_ACCESS), 0, mode);
}

void
sdes_pan_lock_grants(void)
{
	lock(ExclusiveLock);
}

static int
detail(void)
{
	return errdetail("It holds mask together with search or encrypt, and without decrypt. "
	                 "A masked card number leaves 1,000 to 100,000 candidates to try.");
}

void
sdes_pan_check_grants(int elevel, const SdesBucketRow *bucket, Oid role)
{
	const char *guesser = sdes_pan_guesser(bucket->uuid, role);

	if (guesser == NULL || !sdes_store_has_column(SDES_ENC_PAN, bucket->hash))
		return;
	ereport(elevel,
	        (errcode(ERRCODE_INVALID_GRANT_OPERATION),
	         errmsg("role \"%s\" could find out card numbers of bucket \"%s\" by guessing",
	                guesser, bucket->name),
	         detail(),
	         errhint("Revoke one of them or grant decrypt as well; if it is meant, grant "
	                 "with force => true.")));
}

void
sdes_pan_check_column(const char *column, int32 hash)
{
	SdesBucketRow bucket;
	const char *guesser;

	if (!sdes_store_bucket_by_hash(hash, &bucket) ||
	    sdes_store_has_column(SDES_ENC_PAN, hash))
		return;
	lock(ShareLock);
	guesser = sdes_pan_guesser(bucket.uuid, InvalidOid);
	if (guesser == NULL)
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
	         errmsg("role \"%s\" could find out card numbers of column \"%s\" by "
	                "guessing",
	                guesser, column),
	         detail(),
	         errhint("On bucket \"%s\", revoke one of them or grant decrypt as well; "
	                 "if it is meant, grant one of them again with force => true.",
	                 bucket.name)));
}
