/*
 * nodes.c
 *		Constants in the text of expression trees.
 *
 * A tree is searched as the text it is stored as, so that whatever a release of
 * PostgreSQL puts into trees is gone through, and nothing but the bytes of a constant
 * changes: in "{CONST :consttype 16400 ... :constvalue 45 [ -76 0 ... ]}" those in the
 * brackets. Text of a user's in a tree has its braces escaped (outToken() of
 * PostgreSQL), so that it cannot look like a node. A value has the same length under
 * any key.
 */
#include "postgres.h"

#include "rotation/nodes.h"

#include "access/transam.h"
#include "lib/stringinfo.h"
#include "rotation/renewal.h"
#include "rotation/shape.h"
#include "utils/memutils.h"

#define NODE_BEGIN  "{CONST :consttype "
#define VALUE_BEGIN " :constvalue "

typedef struct Constant
{
	Oid type;
	const char *bytes; /* behind "[ " */
	const char *end;   /* the "]" */
	struct varlena *value;
} Constant;

static void
malformed(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
	                errmsg("malformed constant in an expression of the catalogs")));
}

/* The bytes of "45 [ -76 0 ... ]". */
static void
read_value(const char *from, Constant *out)
{
	char *at;
	unsigned long size = strtoul(from, &at, 10);
	char *to;

	if (strncmp(at, " [ ", 3) != 0 || size < VARHDRSZ || size > MaxAllocSize / 8)
		malformed();
	out->bytes = at += 3;
	out->value = palloc(size);
	to = (char *) out->value;
	for (unsigned long i = 0; i < size; i++)
	{
		const char *number = at;

		to[i] = (char) strtol(number, &at, 10);
		if (at == number)
			malformed();
	}
	if (strncmp(at, " ]", 2) != 0 || VARSIZE_ANY(out->value) != size)
		malformed();
	out->end = at + 1;
}

/* The next constant that is not null; false at the end of the tree. */
static bool
next_constant(const char *from, Constant *out)
{
	const char *node, *close, *value;

	while ((node = strstr(from, NODE_BEGIN)) != NULL)
	{
		out->type = (Oid) strtoul(node + strlen(NODE_BEGIN), NULL, 10);
		close = strchr(node, '}');
		value = strstr(node, VALUE_BEGIN);
		if (close == NULL || value == NULL || value > close)
			malformed();
		from = value + strlen(VALUE_BEGIN);
		/* Those by value and those of the server's own types hold nothing. */
		if (out->type < FirstNormalObjectId || strncmp(from, "<>", 2) == 0)
			continue;
		out->bytes = from;
		return true;
	}
	return false;
}

static void
write_value(StringInfo out, const struct varlena *value)
{
	for (Size i = 0; i < VARSIZE_ANY(value); i++)
		appendStringInfo(out, "%d ", (int) ((const char *) value)[i]);
}

static struct varlena *
count_visit(struct varlena *value, SdesEncType type, void *set)
{
	sdes_tracked_count(set, value);
	return value;
}

/* Counts a constant's values, or renews it; NULL when it stays as it is. */
static struct varlena *
visit_constant(const SdesShape *shape, struct varlena *value, SdesTrackedSet *set,
               bool renew)
{
	Datum datum = PointerGetDatum(value);
	Datum renewed;

	if (!renew)
	{
		sdes_shape_map(shape, datum, count_visit, set);
		return NULL;
	}
	renewed = sdes_renewal_of_datum(shape, datum, set);
	return renewed == datum ? NULL : (struct varlena *) DatumGetPointer(renewed);
}

char *
sdes_nodes_visit(const char *tree, SdesTrackedSet *set, bool renew)
{
	const char *done = tree;
	StringInfoData out;
	bool changed = false;
	Constant constant;

	initStringInfo(&out);
	for (const char *at = tree; next_constant(at, &constant);)
	{
		List *buckets = NIL;
		SdesShape *shape = sdes_shape_of(constant.type, -1, &buckets);
		struct varlena *renewed;

		at = constant.bytes;
		if (shape == NULL)
			continue;
		read_value(at, &constant);
		at = constant.end;
		renewed = visit_constant(shape, constant.value, set, renew);
		if (renewed == NULL)
			continue;
		if (VARSIZE_ANY(renewed) != VARSIZE_ANY(constant.value))
			elog(ERROR, "constant changed its length");
		appendBinaryStringInfo(&out, done, (int) (constant.bytes - done));
		write_value(&out, renewed);
		done = constant.end;
		changed = true;
	}
	if (!changed)
		return NULL;
	appendStringInfoString(&out, done);
	return out.data;
}
