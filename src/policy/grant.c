/*
 * grant.c
 *		sdes.grant_access() and sdes.revoke_access().
 */
#include "postgres.h"

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "catalog/pg_type.h"
#include "policy/pan_grants.h"
#include "policy/policy.h"
#include "policy/privileges.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_grant_access);
SDES_SQL_FUNCTION(sdes_revoke_access);

/* What both functions are asked for, checked. */
typedef struct AccessRequest
{
	SdesBucketRow bucket;
	const char *role;
	int nprivileges;
	const char **privileges;
	int bits; /* the same as SDES_PRIVILEGE_* */
} AccessRequest;

static void
read_privileges(ArrayType *array, AccessRequest *request)
{
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("no privilege is named"),
		         errhint("Name some of encrypt, search, mask and decrypt.")));
	request->privileges = palloc(n * sizeof(char *));
	request->nprivileges = n;
	request->bits = 0;
	for (int i = 0; i < n; i++)
	{
		const char *name = nulls[i] ? "NULL" : TextDatumGetCString(elements[i]);

		if (sdes_privilege_by_name(name) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("unrecognized privilege \"%s\"", name),
			                errhint("Privileges are encrypt, search, mask and decrypt.")));
		request->privileges[i] = name;
		request->bits |= sdes_privilege_by_name(name);
	}
}

static void
read_request(FunctionCallInfo fcinfo, AccessRequest *request)
{
	static const char *const arguments[] = {"bucket", "role", "privileges", "force"};
	const char *bucket;

	sdes_refuse_nulls(fcinfo, arguments);
	bucket = text_to_cstring(PG_GETARG_TEXT_PP(0));
	sdes_policy_require_member("sdes_officer", "change access to encrypted values");
	sdes_require_bucket(bucket, &request->bucket);
	if (request->bucket.system)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("nobody can be granted access to the system bucket")));
	request->role = text_to_cstring(PG_GETARG_TEXT_PP(1));
	read_privileges(PG_GETARG_ARRAYTYPE_P(2), request);
	sdes_agentlink_access_changed();
}

static void
record(const char *operation, const AccessRequest *request)
{
	StringInfoData privileges;

	initStringInfo(&privileges);
	for (int i = 0; i < request->nprivileges; i++)
		appendStringInfo(&privileges, "%s%s", i > 0 ? ", " : "", request->privileges[i]);
	sdes_audit_event(operation, request->bucket.uuid, "%s: %s", request->role,
	                 privileges.data);
}

Datum
sdes_grant_access(PG_FUNCTION_ARGS)
{
	AccessRequest request;
	SdesAccessRow row = {0};
	bool adds_up; /* decrypt adds up to nothing that was not there before */

	read_request(fcinfo, &request);
	memcpy(row.bucket, request.bucket.uuid, SDES_UUID_SIZE);
	strlcpy(row.role, request.role, sizeof(row.role));
	/* get_role_oid() complains about a role that is not there. */
	if (strcmp(row.role, SDES_PUBLIC) != 0)
		row.role_oid = get_role_oid(request.role, false);
	row.system_id = (int64) GetSystemIdentifier();
	row.forced = PG_GETARG_BOOL(3);
	adds_up = !row.forced && (request.bits & ~SDES_PRIVILEGE_DECRYPT);
	if (adds_up)
		sdes_pan_lock_grants();
	for (int i = 0; i < request.nprivileges; i++)
	{
		strlcpy(row.privilege, request.privileges[i], sizeof(row.privilege));
		sdes_store_put_access(&row);
	}
	if (adds_up)
		sdes_pan_check_grants(ERROR, &request.bucket, row.role_oid);
	record("grant", &request);
	PG_RETURN_VOID();
}

/* Without decrypt it may add up to guessing; but what is revoked is revoked. */
static void
warn_of_the_rest(const AccessRequest *request)
{
	bool is_public = strcmp(request->role, SDES_PUBLIC) == 0;
	Oid role = is_public ? InvalidOid : get_role_oid(request->role, true);

	if (is_public || OidIsValid(role))
		sdes_pan_check_grants(WARNING, &request->bucket, role);
}

Datum
sdes_revoke_access(PG_FUNCTION_ARGS)
{
	AccessRequest request;

	read_request(fcinfo, &request);
	for (int i = 0; i < request.nprivileges; i++)
		if (!sdes_store_delete_access(request.bucket.uuid, request.role,
		                              request.privileges[i]))
			ereport(NOTICE,
			        (errmsg("role \"%s\" was not granted %s on bucket \"%s\"", request.role,
			                request.privileges[i], request.bucket.name)));
	if (request.bits & SDES_PRIVILEGE_DECRYPT)
		warn_of_the_rest(&request);
	record("revoke", &request);
	PG_RETURN_VOID();
}
