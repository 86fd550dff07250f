/*
 * shape.c
 *		How a type shows encrypted values: itself, in arrays, in composite types.
 *
 * Domains are what they are made of. A composite type is looked into once per
 * question: types may change between two statements.
 */
#include "postgres.h"

#include "reveal/door.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

static bool
row_shows(const Oid types[SDES_NTYPES], Oid type)
{
	TupleDesc desc;
	bool shows = false;

	if (!OidIsValid(get_typ_typrelid(type)))
		return false;
	check_stack_depth();
	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts && !shows; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		shows = !column->attisdropped &&
		        sdes_shape_of_type(types, column->atttypid) != SDES_SHOWS_NONE;
	}
	ReleaseTupleDesc(desc);
	return shows;
}

SdesShape
sdes_shape_of_type(const Oid types[SDES_NTYPES], Oid type)
{
	Oid element;

	if (type == RECORDOID)
		return SDES_SHOWS_ROW;
	if (type == RECORDARRAYOID)
		return SDES_SHOWS_ROWS;
	if (type < FirstNormalObjectId)
		return SDES_SHOWS_NONE; /* PostgreSQL's own */
	type = getBaseType(type);
	if (sdes_type_by_oid(types, type) >= 0)
		return SDES_SHOWS_VALUE;
	element = get_element_type(type);
	if (!OidIsValid(element))
		return row_shows(types, type) ? SDES_SHOWS_ROW : SDES_SHOWS_NONE;
	switch (sdes_shape_of_type(types, element))
	{
		case SDES_SHOWS_VALUE:
			return SDES_SHOWS_ARRAY;
		case SDES_SHOWS_ROW:
			return SDES_SHOWS_ROWS;
		default:
			return SDES_SHOWS_NONE; /* an array in a domain in an array is nobody's */
	}
}

Oid
sdes_shape_revealed_type(SdesShape shape)
{
	switch (shape)
	{
		case SDES_SHOWS_VALUE:
			return TEXTOID;
		case SDES_SHOWS_ARRAY:
			return TEXTARRAYOID;
		case SDES_SHOWS_ROW:
			return RECORDOID;
		case SDES_SHOWS_ROWS:
			return RECORDARRAYOID;
		default:
			return InvalidOid;
	}
}
