/*
 * search.c
 *		The hooks of this room.
 */
#include "postgres.h"

#include "search/search.h"

#include "search/analyze.h"
#include "search/compare.h"
#include "search/explain.h"
#include "search/index_guard.h"
#include "search/objects.h"
#include "search/planner.h"
#include "search/prepare.h"

void
sdes_search_init(void)
{
	sdes_objects_init();
	sdes_compare_init();
	sdes_planner_init();
	sdes_foreign_init();
	sdes_prepare_init();
	sdes_explain_init();
	sdes_analyze_init();
	sdes_index_guard_init();
}
