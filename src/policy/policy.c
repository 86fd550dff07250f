/*
 * policy.c
 *		Grants, cached per backend, and the question asked of them per value.
 *
 * The table is read whole at the first question after a change; the answer for
 * the last (bucket, current user) is kept, so that a scan asks once.
 *
 * A grant names its role. Within the cluster where it was made the role's OID
 * must match as well: a role that was dropped and made again under the same
 * name does not inherit the grants of its predecessor. After a restore into
 * another cluster, where OIDs differ, the name decides.
 */
#include "postgres.h"

#include "policy/policy.h"

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "policy/privileges.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static SdesGrant *grants = NULL;
static int ngrants = 0;
static int login_was_super = -1; /* -1: not known yet */
static bool loaded = false;
static uint64 seen_changes = 0; /* of all backends, see agentlink.h */
static bool changed = false;    /* since the last question was asked */
static Oid access_table = InvalidOid;

/* The last answer. */
static struct
{
	bool valid;
	uint8 bucket[SDES_UUID_SIZE];
	Oid current;
	Oid authenticated;
	int privileges;
} last;

static void
forget(void)
{
	loaded = false;
	last.valid = false;
	changed = true;
}

static void
invalidate_relation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == access_table)
		forget();
}

static void
invalidate_roles(Datum arg, int cacheid, uint32 hashvalue)
{
	forget();
}

void
sdes_policy_init(void)
{
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, invalidate_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, invalidate_roles, (Datum) 0);
}

bool
sdes_grant_of_row(const SdesAccessRow *row, SdesGrant *grant)
{
	memcpy(grant->bucket, row->bucket, SDES_UUID_SIZE);
	grant->privilege = sdes_privilege_by_name(row->privilege);
	grant->forced = row->forced;
	grant->role = InvalidOid;
	if (strcmp(row->role, SDES_PUBLIC) == 0)
		return true;
	grant->role = get_role_oid(row->role, true);
	if (!OidIsValid(grant->role))
		return false;
	return row->system_id != (int64) GetSystemIdentifier() || row->role_oid == grant->role;
}

static void
load(void)
{
	List *rows;
	ListCell *cell;
	SdesGrant *fresh;
	int n = 0;

	access_table = sdes_table_oid(SDES_TABLE_ACCESS);
	rows = sdes_store_access();
	fresh =
	    MemoryContextAlloc(TopMemoryContext, (list_length(rows) + 1) * sizeof(SdesGrant));
	foreach (cell, rows)
		if (sdes_grant_of_row(lfirst(cell), &fresh[n]))
			n++;
	list_free_deep(rows);
	if (grants)
		pfree(grants);
	grants = fresh;
	ngrants = n;
}

static int
privileges_of(Oid role, const uint8 *bucket)
{
	bool super =
	    superuser_arg(role) || (login_was_super > 0 && role == GetAuthenticatedUserId());
	int privileges = 0;

	for (int i = 0; i < ngrants; i++)
	{
		const SdesGrant *grant = &grants[i];
		bool holds;

		if (memcmp(grant->bucket, bucket, SDES_UUID_SIZE) != 0)
			continue;
		if (super)
			holds = grant->role == role;
		else
			holds = !OidIsValid(grant->role) || has_privs_of_role(role, grant->role);
		if (holds)
			privileges |= grant->privilege;
	}
	return privileges;
}

void
sdes_policy_remember_login(void)
{
	if (login_was_super < 0)
		login_was_super = superuser_arg(GetAuthenticatedUserId()) ? 1 : 0;
}

/*
 * The superuser who logged in and is now somebody else; InvalidOid if none is.
 * One who gives the attribute up in mid-session is meant all the same.
 */
static Oid
superuser_behind(Oid current)
{
	Oid authenticated = GetAuthenticatedUserId();

	if (authenticated == current || !(login_was_super > 0 || superuser_arg(authenticated)))
		return InvalidOid;
	return authenticated;
}

int
sdes_policy_privileges(const uint8 *bucket)
{
	Oid current = GetUserId();
	Oid authenticated = GetAuthenticatedUserId();
	Oid behind;
	int privileges;
	uint64 changes = sdes_agentlink_access_changes();

	if (changes != seen_changes)
	{
		forget();
		seen_changes = changes;
	}
	if (last.valid && last.current == current && last.authenticated == authenticated &&
	    memcmp(last.bucket, bucket, SDES_UUID_SIZE) == 0)
		return last.privileges;

	/* What changes from here on is for the next question. */
	changed = false;
	if (!loaded)
		load();
	privileges = privileges_of(current, bucket);
	behind = superuser_behind(current);
	if (OidIsValid(behind))
		privileges &= privileges_of(behind, bucket);
	last.current = current;
	last.authenticated = authenticated;
	memcpy(last.bucket, bucket, SDES_UUID_SIZE);
	last.privileges = privileges;
	last.valid = loaded = !changed;
	return privileges;
}

/* The system bucket's values are literals, and decrypt is all they are asked for. */
static void
report_literal(void)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	     errmsg("a literal of an encrypted type cannot be decrypted"),
	     errdetail("It is sealed so that it can be stored in an encrypted column, and "
	               "opens for nobody before that."),
	     errhint(
	         "Cast the encrypted column to text, as in coalesce(email::text, 'none') or "
	         "email::text IN ('a', 'b')."),
	     SDES_KEEP_OUT_OF_LOG));
}

/* Who is missing the privilege: the current user, or the superuser behind it. */
static Oid
who_needs(const uint8 *bucket, int privilege)
{
	Oid current = GetUserId();

	return (privileges_of(current, bucket) & privilege) ? superuser_behind(current)
	                                                    : current;
}

void
sdes_policy_require(const uint8 *bucket, int privilege)
{
	SdesBucketRow row;
	Oid needs;
	const char *name;

	if (sdes_policy_privileges(bucket) & privilege)
		return;
	if (!sdes_store_bucket_by_uuid(bucket, &row))
		strlcpy(row.name, "?", sizeof(row.name));
	if (strcmp(row.name, SDES_SYSTEM_BUCKET) == 0)
		report_literal();
	needs = who_needs(bucket, privilege);
	name = GetUserNameFromId(needs, true);
	ereport(ERROR,
	        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	         errmsg("permission denied to %s values of bucket \"%s\"",
	                sdes_privilege_name(privilege), row.name),
	         superuser_arg(needs)
	             ? errdetail("A superuser needs a grant of its own, also as another role.")
	             : 0,
	         errhint("An officer can allow it: SELECT sdes.grant_access(%s, %s, '{%s}').",
	                 quote_literal_cstr(row.name), quote_literal_cstr(name ? name : "?"),
	                 sdes_privilege_name(privilege)),
	         SDES_KEEP_OUT_OF_LOG));
}

void
sdes_policy_require_member(const char *role, const char *action)
{
	Oid oid = get_role_oid(role, true);

	if (superuser() || (OidIsValid(oid) && has_privs_of_role(GetUserId(), oid)))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	                errmsg("permission denied to %s", action),
	                errhint("Only members of role \"%s\" may do that.", role)));
}
