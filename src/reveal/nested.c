/*
 * nested.c
 *		sdes.reveal() of arrays, rows and arrays of rows.
 *
 * What a row consists of is read from the row itself when the function runs: a
 * record's type differs from row to row. The result is a record with the same
 * column names; its encrypted columns are text.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "reveal/door.h"
#include "sdes_compat.h"
#include "types/types.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

SDES_SQL_FUNCTION(sdes_reveal_array);
SDES_SQL_FUNCTION(sdes_reveal_record);

/* A type, as far as it matters here. */
typedef struct Part
{
	Oid type;
	SdesShape shape;
	const SdesType *value; /* of SDES_SHOWS_VALUE */
	struct Part *element;  /* of arrays */
	int16 size;
	bool by_value;
	char align;
	struct Part *next;
} Part;

/* A row type, and that of what is shown of it. */
typedef struct Row
{
	Oid type;
	int32 typmod;
	TupleDesc from;
	TupleDesc to; /* NULL: it shows no encrypted value */
	Part **columns;
	struct Row *next;
} Row;

/* What a call site has met so far; it lives as long as fn_extra does. */
typedef struct Known
{
	MemoryContext context;
	Oid types[SDES_NTYPES];
	Part *parts;
	Row *rows;
} Known;

static Known *
known_to(FunctionCallInfo fcinfo)
{
	Known *known = fcinfo->flinfo->fn_extra;

	if (known == NULL)
	{
		known = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(*known));
		known->context = fcinfo->flinfo->fn_mcxt;
		sdes_type_oids(known->types);
		fcinfo->flinfo->fn_extra = known;
	}
	return known;
}

static Part *
part_of(Known *known, Oid type)
{
	Oid base;
	Part *part;

	for (part = known->parts; part != NULL; part = part->next)
		if (part->type == type)
			return part;
	base = getBaseType(type);
	part = MemoryContextAllocZero(known->context, sizeof(*part));
	part->shape = sdes_shape_of_type(known->types, type);
	if (part->shape == SDES_SHOWS_VALUE)
		part->value = sdes_types[sdes_type_by_oid(known->types, base)];
	else if (part->shape == SDES_SHOWS_ARRAY || part->shape == SDES_SHOWS_ROWS)
		part->element =
		    part_of(known, base == RECORDARRAYOID ? RECORDOID : get_element_type(base));
	get_typlenbyvalalign(type, &part->size, &part->by_value, &part->align);
	part->type = type;
	part->next = known->parts;
	known->parts = part;
	return part;
}

/* Describes what is shown of a row; false when that is all as it is. */
static bool
describe_columns(Known *known, Row *row)
{
	TupleDesc from = row->from;
	int shown = 0;

	for (int i = 0; i < from->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(from, i);

		if (column->attisdropped)
			continue;
		row->columns[i] = part_of(known, column->atttypid);
		if (row->columns[i]->shape == SDES_SHOWS_NONE)
			continue;
		TupleDescInitEntry(row->to, i + 1, NameStr(column->attname),
		                   sdes_shape_revealed_type(row->columns[i]->shape), -1, 0);
		TupleDescInitEntryCollation(row->to, i + 1, column->attcollation);
		shown++;
	}
	return shown > 0;
}

static Row *
row_of(Known *known, HeapTupleHeader tuple)
{
	Oid type = HeapTupleHeaderGetTypeId(tuple);
	int32 typmod = HeapTupleHeaderGetTypMod(tuple);
	TupleDesc desc;
	MemoryContext old;
	Row *row;

	for (row = known->rows; row != NULL; row = row->next)
		if (row->type == type && row->typmod == typmod)
			return row;
	desc = lookup_rowtype_tupdesc(type, typmod);
	old = MemoryContextSwitchTo(known->context);
	row = palloc0(sizeof(*row));
	row->from = CreateTupleDescCopy(desc);
	row->to = CreateTupleDescCopy(desc);
	row->to->tdtypeid = RECORDOID;
	row->to->tdtypmod = -1;
	row->columns = palloc0(desc->natts * sizeof(Part *));
	ReleaseTupleDesc(desc);
	if (describe_columns(known, row))
		row->to = BlessTupleDesc(row->to);
	else
		row->to = NULL;
	row->type = type;
	row->typmod = typmod;
	row->next = known->rows;
	known->rows = row;
	MemoryContextSwitchTo(old);
	return row;
}

static Datum reveal_part(Known *known, const Part *part, Datum value);

static Datum
reveal_row(Known *known, Datum value)
{
	HeapTupleHeader tuple = DatumGetHeapTupleHeader(value);
	const Row *row = row_of(known, tuple);
	HeapTupleData data = {0};
	Datum *values;
	bool *nulls;

	if (row->to == NULL)
		return value;
	data.t_len = HeapTupleHeaderGetDatumLength(tuple);
	data.t_data = tuple;
	values = palloc(row->from->natts * sizeof(Datum));
	nulls = palloc(row->from->natts * sizeof(bool));
	heap_deform_tuple(&data, row->from, values, nulls);
	for (int i = 0; i < row->from->natts; i++)
		if (!nulls[i] && row->columns[i] != NULL)
			values[i] = reveal_part(known, row->columns[i], values[i]);
	return HeapTupleGetDatum(heap_form_tuple(row->to, values, nulls));
}

/* What an array of such elements becomes an array of. */
static ArrayType *
make_array(const Part *element, Datum *values, bool *nulls, const ArrayType *like)
{
	Oid type = sdes_shape_revealed_type(element->shape);

	if (ARR_NDIM(like) == 0)
		return construct_empty_array(type);
	return construct_md_array(values, nulls, ARR_NDIM(like), ARR_DIMS(like),
	                          ARR_LBOUND(like), type, -1, false,
	                          type == RECORDOID ? TYPALIGN_DOUBLE : TYPALIGN_INT);
}

static Datum
reveal_elements(Known *known, const Part *element, Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	Datum *values;
	bool *nulls;
	int n;

	if (element->shape == SDES_SHOWS_NONE)
		return value;
	deconstruct_array(array, element->type, element->size, element->by_value,
	                  element->align, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			values[i] = reveal_part(known, element, values[i]);
	return PointerGetDatum(make_array(element, values, nulls, array));
}

static Datum
reveal_part(Known *known, const Part *part, Datum value)
{
	check_stack_depth();
	switch (part->shape)
	{
		case SDES_SHOWS_VALUE:
			sdes_value_note_opened();
			return PointerGetDatum(sdes_value_reveal(
			    (struct varlena *) PG_DETOAST_DATUM_PACKED(value), part->value));
		case SDES_SHOWS_ARRAY:
		case SDES_SHOWS_ROWS:
			return reveal_elements(known, part->element, value);
		case SDES_SHOWS_ROW:
			return reveal_row(known, value);
		default:
			return value;
	}
}

/* Of any type of elements: the array tells which. */
Datum
sdes_reveal_array(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	Known *known = known_to(fcinfo);

	PG_RETURN_DATUM(reveal_elements(known, part_of(known, ARR_ELEMTYPE(array)),
	                                PointerGetDatum(array)));
}

Datum
sdes_reveal_record(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(reveal_row(known_to(fcinfo), PG_GETARG_DATUM(0)));
}
