/*
 * client.c
 *		Which statements are the client's own, so that their results go to it.
 *
 * Such is the text that the session is executing, outside any utility command: the
 * hook's text must be that very string. So are the queries of PREPARE and of COPY
 * (query) TO STDOUT, which the command has analysed as it runs, and what was prepared
 * when it is analysed again. Views, functions, CREATE TABLE AS and the like are
 * not, and keep ciphertext.
 */
#include "postgres.h"

#include "reveal/reveal.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "audit/audit.h"
#include "policy/policy.h"
#include "replication/walsender.h"
#include "reveal/batch.h"
#include "reveal/parameters.h"
#include "reveal/prepared.h"
#include "reveal/rewrite.h"
#include "reveal/scroll.h"
#include "reveal/spool.h"
#include "sdes_compat.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"

static post_parse_analyze_hook_type previous_analyze = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static int utility_depth = 0;
static const Node *command = NULL;       /* the innermost utility command */
static const char *client_source = NULL; /* the text of it, if it is the client's */

/* The query that a utility command holds, once analysed. */
static const Node *
held_utility(const Node *query)
{
	return query != NULL && IsA(query, Query) ? ((const Query *) query)->utilityStmt : NULL;
}

/* The EXECUTE that a command is or has in it. */
static const ExecuteStmt *
execute_in(const Node *statement)
{
	if (statement == NULL)
		return NULL;
	switch (nodeTag(statement))
	{
		case T_ExecuteStmt:
			return (const ExecuteStmt *) statement;
		case T_ExplainStmt:
			return execute_in(held_utility(((const ExplainStmt *) statement)->query));
		case T_CreateTableAsStmt:
			return execute_in(held_utility(((const CreateTableAsStmt *) statement)->query));
		default:
			return NULL;
	}
}

/* CREATE TABLE AS EXECUTE, also within EXPLAIN. */
static bool
stores_prepared(const Node *statement)
{
	if (statement != NULL && IsA(statement, ExplainStmt))
		statement = held_utility(((const ExplainStmt *) statement)->query);
	return statement != NULL && IsA(statement, CreateTableAsStmt) &&
	       execute_in(statement) != NULL;
}

static void
refuse_to_store(void)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	     errmsg("a table cannot be created from a prepared statement that shows "
	            "encrypted values"),
	     errdetail("The table would store their plaintext."),
	     errhint("Write the query itself into CREATE TABLE AS: it stores ciphertext.")));
}

static bool
is_copy_to_client(const Node *statement)
{
	const CopyStmt *copy = (const CopyStmt *) statement;

	return IsA(statement, CopyStmt) && copy->query != NULL && !copy->is_from &&
	       copy->filename == NULL && !copy->is_program;
}

/* ---- analysis ---- */

/*
 * A client's Describe of a kept statement may analyse it anew; the server has
 * then no current statement text. So it is when deferred triggers run at a
 * Sync; but whatever a function runs has a context that errors would tell of.
 */
static bool
is_described(void)
{
	return debug_query_string == NULL && ActivePortal == NULL && IsTransactionState() &&
	       error_context_stack == NULL;
}

static bool
is_for_client(const char *source)
{
	if (MyBackendType != B_BACKEND || am_walsender)
		return false;
	if (utility_depth == 0 && (source == debug_query_string || is_described()))
		return true;
	if (client_source != NULL && source == client_source &&
	    (IsA(command, PrepareStmt) || is_copy_to_client(command)))
		return true;
	return sdes_prepared_is(source);
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	SdesDoor door;

	if (previous_analyze)
		previous_analyze(pstate, query, jstate);
	sdes_policy_remember_login();
	sdes_audit_know_client();
	if (!is_for_client(pstate->p_sourcetext))
	{
		sdes_parameters_settled();
		sdes_rewrite_inside(query);
		return;
	}
	sdes_parameters_begin(pstate, query);
	sdes_rewrite(query);
	sdes_parameters_end(query);
	if (stores_prepared(command) && sdes_door_find(&door) &&
	    sdes_door_is_in(&door, (Node *) query))
		refuse_to_store();
}

/* ---- utility commands ---- */

/* Returns where the result of the client's own command is to go. */
static DestReceiver *
before_command(const Node *statement, DestReceiver *dest)
{
	const ExecuteStmt *execute = execute_in(statement);

	if (execute != NULL)
		sdes_prepared_used(execute->name);
	if (execute != NULL && stores_prepared(statement) && sdes_prepared_shows(execute->name))
		refuse_to_store();
	if (IsA(statement, FetchStmt) && !((const FetchStmt *) statement)->ismove)
		sdes_spool_check_held(((const FetchStmt *) statement)->portalname);
	if (utility_depth == 0 && (IsA(statement, FetchStmt) || IsA(statement, ExecuteStmt)))
		return sdes_spool_for_utility(dest);
	return dest;
}

/* The name of what PREPARE prepares, else NULL. */
static const char *
prepared_by(const Node *statement)
{
	return IsA(statement, PrepareStmt) ? ((const PrepareStmt *) statement)->name : NULL;
}

/* Asked before the command runs; what functions execute is no top level. */
static bool
is_clients(ProcessUtilityContext context)
{
	return utility_depth == 0 && context == PROCESS_UTILITY_TOPLEVEL;
}

static void
run_command(SDES_UTILITY_PARAMETERS)
{
	const Node *outer = command;
	const char *outer_source = client_source;

	client_source = is_clients(context) ? source : NULL;
	command = pstmt->utilityStmt;
	utility_depth++;
	PG_TRY();
	{
		if (previous_utility)
			previous_utility(SDES_UTILITY_ARGUMENTS);
		else
			standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
	}
	PG_FINALLY();
	{
		utility_depth--;
		command = outer;
		client_source = outer_source;
	}
	PG_END_TRY();
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	const char *prepared = prepared_by(pstmt->utilityStmt);

	dest = before_command(pstmt->utilityStmt, dest);
	run_command(SDES_UTILITY_ARGUMENTS);
	if (prepared != NULL && is_clients(context))
		sdes_prepared_remember(prepared);
	else if (prepared != NULL)
		sdes_prepared_forget(prepared);
}

void
sdes_reveal_init(void)
{
	previous_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	sdes_batch_init();
	sdes_scroll_init();
	sdes_spool_init();
}
