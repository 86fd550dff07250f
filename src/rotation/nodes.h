/*
 * nodes.h
 *		Encrypted constants in stored expression trees (pg_node_tree). Private to this
 *		room.
 */
#ifndef SDES_NODES_H
#define SDES_NODES_H

#include "postgres.h"

#include "rotation/tracked.h"

/*
 * Counts the values of a tree's constants and returns NULL. With renew it counts
 * nothing, but returns the tree with those that are due sealed anew, palloc'd; NULL
 * when nothing changed.
 */
extern char *sdes_nodes_visit(const char *tree, SdesTrackedSet *set, bool renew);

#endif
