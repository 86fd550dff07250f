/*
 * foreign.c
 *		Keeps sorts by token from being pushed to a foreign server.
 *
 * postgres_fdw takes our operator families for its own where a server's option "extensions"
 * lists sdes, and has the other side do ORDER BY email for a merge join or a GROUP BY. There
 * that is an order by plaintext (planner.c), for who may decrypt: not the one that the plan
 * here relies on. An ORDER BY that the statement asks for goes by plaintext on both sides.
 */
#include "postgres.h"

#include "search/planner.h"

#include "nodes/pathnodes.h"
#include "optimizer/paths.h"
#include "search/objects.h"
#include "utils/lsyscache.h"

static set_rel_pathlist_hook_type previous_rel = NULL;
static set_join_pathlist_hook_type previous_join = NULL;

static bool
goes_by_token(const SdesSearchObjects *objects, const List *pathkeys)
{
	ListCell *cell;

	foreach (cell, pathkeys)
	{
		Oid family = lfirst_node(PathKey, cell)->pk_opfamily;

		if (op_in_opfamily(objects->ci_equal, family))
			return true;
		for (int i = 0; i < SDES_NTYPES; i++)
			if (op_in_opfamily(objects->orders[i].token_less, family))
				return true;
	}
	return false;
}

/*
 * A foreign path that would be sorted so goes. Where none but such was left, it stays as
 * one that is in no order.
 */
static void
forget_sorted(RelOptInfo *rel)
{
	const SdesSearchObjects *objects = sdes_search_objects();
	List *kept = NIL;
	ListCell *cell;

	if (objects == NULL || rel->fdwroutine == NULL)
		return;
	foreach (cell, rel->pathlist)
	{
		Path *path = lfirst(cell);

		if (!IsA(path, ForeignPath) || !goes_by_token(objects, path->pathkeys))
			kept = lappend(kept, path);
		else
			path->pathkeys = NIL;
	}
	if (kept != NIL)
		rel->pathlist = kept;
}

static void
rel_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	if (previous_rel)
		previous_rel(root, rel, rti, rte);
	forget_sorted(rel);
}

static void
join_paths(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outer, RelOptInfo *inner,
           JoinType type, JoinPathExtraData *extra)
{
	if (previous_join)
		previous_join(root, joinrel, outer, inner, type, extra);
	forget_sorted(joinrel);
}

void
sdes_foreign_init(void)
{
	previous_rel = set_rel_pathlist_hook;
	set_rel_pathlist_hook = rel_paths;
	previous_join = set_join_pathlist_hook;
	set_join_pathlist_hook = join_paths;
}
