/*
 * parameters.h
 *		Parameters of a client's statement whose type the server found out. Private
 *		to this room.
 */
#ifndef SDES_REVEAL_PARAMETERS_H
#define SDES_REVEAL_PARAMETERS_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/* To be called before a client's query is rewritten, and after. */
extern void sdes_parameters_begin(const ParseState *pstate, const Query *query);
extern void sdes_parameters_end(Query *query);

/*
 * In place of a parameter of an encrypted type, one of type text, which the client
 * is asked for from now on; NULL where its type is settled.
 */
extern Expr *sdes_parameter_as_text(const Param *parameter);

/* Says so of all parameters: also after an error between the two above. */
extern void sdes_parameters_settled(void);

#endif
