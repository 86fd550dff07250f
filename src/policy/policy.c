/*
 * policy.c
 *		Grants, cached per backend, and the question asked of them per value.
 *
 * The table is read whole at the first question after a change. Answers are kept by
 * bucket and user, with all that a refusal has to say, so that a scan asks once and
 * a comparison under the lock of an index page reads no catalog.
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
#include "audit/audit.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "policy/privileges.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static SdesGrant *grants = NULL;
static int ngrants = 0;
static SdesBucketRow *buckets = NULL; /* all of the database */
static int nbuckets = 0;
static int login_was_super = -1; /* -1: not known yet */
static bool loaded = false;
static uint64 seen_changes = 0; /* of all backends, see agentlink.h */
static bool changed = false;    /* since the last question was asked */
static Oid access_table = InvalidOid;
static Oid bucket_table = InvalidOid;

/* Who is asked about. */
typedef struct Question
{
	uint8 bucket[SDES_UUID_SIZE];
	Oid current;
	Oid authenticated;
} Question;

/* Somebody a privilege can be missing to. */
typedef struct Subject
{
	char name[NAMEDATALEN];
	bool super;
} Subject;

typedef struct Answer
{
	Question question; /* hash key */
	int privileges;
	int own; /* of the current user, whoever is behind it */
	char bucket_name[SDES_NAME_MAX + 1];
	Subject current;
	Subject behind;
} Answer;

static HTAB *answers = NULL;
static Answer *last = NULL; /* the one given last; NULL: ask the table */
static struct
{
	Oid current; /* InvalidOid: nobody */
	Oid authenticated;
} prepared; /* for whom every bucket has an answer */

static void
forget(void)
{
	loaded = false;
	last = NULL;
	changed = true;
}

static void
invalidate_relation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == access_table || relid == bucket_table)
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

static void
load_buckets(void)
{
	List *rows;
	ListCell *cell;
	SdesBucketRow *fresh;
	int n = 0;

	bucket_table = sdes_table_oid(SDES_TABLE_BUCKET);
	rows = sdes_store_buckets();
	fresh = MemoryContextAlloc(TopMemoryContext,
	                           (list_length(rows) + 1) * sizeof(SdesBucketRow));
	foreach (cell, rows)
		fresh[n++] = *(SdesBucketRow *) lfirst(cell);
	list_free_deep(rows);
	if (buckets)
		pfree(buckets);
	buckets = fresh;
	nbuckets = n;
}

static const char *
bucket_name(const uint8 *bucket)
{
	for (int i = 0; i < nbuckets; i++)
		if (memcmp(buckets[i].uuid, bucket, SDES_UUID_SIZE) == 0)
			return buckets[i].name;
	return "?";
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

static void
forget_answers(void)
{
	HASHCTL ctl = {0};

	if (answers)
		hash_destroy(answers);
	ctl.keysize = sizeof(Question);
	ctl.entrysize = sizeof(Answer);
	ctl.hcxt = TopMemoryContext;
	answers = hash_create("sdes answers", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	last = NULL;
	prepared.current = InvalidOid;
}

static void
describe(Oid role, Subject *subject)
{
	const char *name = OidIsValid(role) ? GetUserNameFromId(role, true) : NULL;

	strlcpy(subject->name, name ? name : "?", sizeof(subject->name));
	subject->super = OidIsValid(role) && superuser_arg(role);
}

/* Who may decrypt may see a mask, too: so may two of whom one may do either. */
static int
in_common(int a, int b)
{
	const int seeing = SDES_PRIVILEGE_DECRYPT | SDES_PRIVILEGE_MASK;

	return (a & b) | ((a & seeing) && (b & seeing) ? SDES_PRIVILEGE_MASK : 0);
}

/* Works an answer out. It is whole before it gets into the table: catalogs are read. */
static Answer
work_out(const Question *question)
{
	Answer answer = {.question = *question};
	Oid behind = superuser_behind(question->current);

	answer.own = answer.privileges = privileges_of(question->current, question->bucket);
	if (OidIsValid(behind))
		answer.privileges = in_common(answer.own, privileges_of(behind, question->bucket));
	strlcpy(answer.bucket_name, bucket_name(question->bucket), sizeof(answer.bucket_name));
	describe(question->current, &answer.current);
	describe(behind, &answer.behind);
	return answer;
}

/* More than these are not worth keeping: a pool that is many roles in turn. */
#define ANSWERS_KEPT 256

/*
 * Answers given so far, given anew: a statement under way may ask them again under a
 * lock. Nobody is prepared for, since there may be more buckets now.
 */
static void
renew_answers(void)
{
	HASH_SEQ_STATUS seq;
	Answer *answer;

	if (answers == NULL || hash_get_num_entries(answers) > ANSWERS_KEPT)
	{
		forget_answers();
		return;
	}
	last = NULL;
	prepared.current = InvalidOid;
	hash_seq_init(&seq, answers);
	while ((answer = hash_seq_search(&seq)) != NULL)
	{
		Answer fresh = work_out(&answer->question);

		*answer = fresh;
	}
}

/* Makes sure that grants are those of now. */
static void
ready(void)
{
	uint64 changes = sdes_agentlink_access_changes();

	if (sdes_must_not_wait())
		return;
	if (changes != seen_changes)
	{
		forget();
		seen_changes = changes;
	}
	if (loaded)
		return;
	/* What changes from here on is for the next question. */
	changed = false;
	load();
	load_buckets();
	renew_answers();
	loaded = !changed;
}

static Question
question_about(const uint8 *bucket)
{
	Question question;

	memset(&question, 0, sizeof(question));
	memcpy(question.bucket, bucket, SDES_UUID_SIZE);
	question.current = GetUserId();
	question.authenticated = GetAuthenticatedUserId();
	return question;
}

static pg_noinline const Answer *
look_up(const uint8 *bucket)
{
	Question question = question_about(bucket);
	Answer *answer;
	Answer fresh;

	answer = answers ? hash_search(answers, &question, HASH_FIND, NULL) : NULL;
	if (answer == NULL && sdes_must_not_wait())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("access to encrypted values is not known where the server "
		                       "must not wait"),
		                errhint("Try again."), SDES_KEEP_OUT_OF_LOG));
	if (answer == NULL)
	{
		fresh = work_out(&question);
		answer = hash_search(answers, &question, HASH_ENTER, NULL);
		*answer = fresh;
	}
	/* Reading catalogs may have brought news. */
	last = loaded && !changed ? answer : NULL;
	return answer;
}

static const Answer *
answer_to(const uint8 *bucket_of_caller)
{
	uint8 bucket[SDES_UUID_SIZE];

	/* It may be in what is read anew. */
	memcpy(bucket, bucket_of_caller, SDES_UUID_SIZE);
	ready();
	if (last != NULL && last->question.current == GetUserId() &&
	    last->question.authenticated == GetAuthenticatedUserId() &&
	    memcmp(last->question.bucket, bucket, SDES_UUID_SIZE) == 0)
		return last;
	return look_up(bucket);
}

int
sdes_policy_privileges(const uint8 *bucket)
{
	return answer_to(bucket)->privileges;
}

void
sdes_policy_prepare(void)
{
	Oid current = GetUserId();
	Oid authenticated = GetAuthenticatedUserId();

	ready();
	if (prepared.current == current && prepared.authenticated == authenticated)
		return;
	for (int i = 0; i < nbuckets; i++)
		answer_to(buckets[i].uuid);
	prepared.current = current;
	prepared.authenticated = authenticated;
}

bool
sdes_policy_anywhere(int privileges)
{
	ready();
	for (int i = 0; i < ngrants; i++)
		if (answer_to(grants[i].bucket)->privileges & privileges)
			return true;
	return false;
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

void
sdes_policy_require(const uint8 *bucket, int privilege)
{
	const Answer *answer = answer_to(bucket);
	const Subject *needs;

	if (answer->privileges & privilege)
		return;
	if (strcmp(answer->bucket_name, SDES_SYSTEM_BUCKET) == 0)
		report_literal();
	/* The current user, or the superuser behind it. */
	needs = answer->own & privilege ? &answer->behind : &answer->current;
	ereport(ERROR,
	        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	         errmsg("permission denied to %s values of bucket \"%s\"",
	                sdes_privilege_name(privilege), answer->bucket_name),
	         needs->super
	             ? errdetail("A superuser needs a grant of its own, also as another role.")
	             : 0,
	         errhint("An officer can allow it: SELECT sdes.grant_access(%s, %s, '{%s}').",
	                 quote_literal_cstr(answer->bucket_name),
	                 quote_literal_cstr(needs->name), sdes_privilege_name(privilege)),
	         SDES_KEEP_OUT_OF_LOG));
}

bool
sdes_policy_is_member(const char *role)
{
	Oid oid = get_role_oid(role, true);

	return superuser() || (OidIsValid(oid) && has_privs_of_role(GetUserId(), oid));
}

void
sdes_policy_require_member(const char *role, const char *action)
{
	if (sdes_policy_is_member(role))
		return;
	sdes_audit_refused(action);
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	                errmsg("permission denied to %s", action),
	                errhint("Only members of role \"%s\" may do that.", role)));
}
