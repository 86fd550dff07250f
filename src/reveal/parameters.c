/*
 * parameters.c
 *		coalesce(email, $1) of a client that leaves it to the server of which type $1
 *		is: text.
 *
 * The parser takes it for one of the column's type, so that its value would be sealed
 * as a literal, and those open for nobody. So the client is told that it is text, and
 * wherever else the parameter stands, it is sealed there. This goes while the statement
 * is analysed for the first time only: then the parser keeps the types it finds in an
 * array that is still to be handed out.
 */
#include "postgres.h"

#include "reveal/parameters.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "value/value.h"

/* The parser's (VarParamState of parse_param.c). */
typedef struct VariableTypes
{
	Oid **types; /* by number, less one */
	int *count;
} VariableTypes;

/* Of the statement that is being rewritten; NULL: its parameters are settled. */
static const VariableTypes *variable = NULL;
static bool any_changed = false;

void
sdes_parameters_begin(const ParseState *pstate, const Query *query)
{
	any_changed = false;
	variable = NULL;
	/* Only the parser's hooks for open types have this one. Armor is no text. */
	if (pstate->p_coerce_param_hook != NULL && query->commandType != CMD_UTILITY &&
	    !sdes_value_takes_ciphertext())
		variable = pstate->p_ref_hook_state;
}

void
sdes_parameters_settled(void)
{
	variable = NULL;
}

static Param *
text_parameter(const Param *parameter)
{
	Param *text = copyObject((Param *) parameter);

	text->paramtype = TEXTOID;
	text->paramtypmod = -1;
	text->paramcollid = get_typcollation(TEXTOID);
	return text;
}

Expr *
sdes_parameter_as_text(const Param *parameter)
{
	if (variable == NULL || parameter->paramkind != PARAM_EXTERN ||
	    parameter->paramid > *variable->count)
		return NULL;
	(*variable->types)[parameter->paramid - 1] = TEXTOID;
	any_changed = true;
	return (Expr *) text_parameter(parameter);
}

/* Where one of those parameters stands as a value of its encrypted type, it is cast. */
static Node *
cast_others(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, cast_others, context, 0);
	if (IsA(node, Param))
	{
		const Param *parameter = (Param *) node;

		if (parameter->paramkind == PARAM_EXTERN && parameter->paramtype != TEXTOID &&
		    parameter->paramid <= *variable->count &&
		    (*variable->types)[parameter->paramid - 1] == TEXTOID)
			return coerce_to_target_type(NULL, (Node *) text_parameter(parameter), TEXTOID,
			                             parameter->paramtype, -1, COERCION_EXPLICIT,
			                             COERCE_IMPLICIT_CAST, -1);
	}
	return expression_tree_mutator(node, cast_others, context);
}

void
sdes_parameters_end(Query *query)
{
	if (any_changed)
		query_tree_mutator(query, cast_others, NULL, QTW_DONT_COPY_QUERY);
	variable = NULL;
}
