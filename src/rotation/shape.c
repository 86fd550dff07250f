/*
 * shape.c
 *		Types that can hold encrypted values, and the walk over their datums.
 *
 * A composite cannot be a member of itself, not even by way of an array, so the
 * recursion ends with the nesting of types.
 */
#include "postgres.h"

#include "rotation/shape.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

#define ANY_BUCKET (-1)

typedef enum ShapeKind
{
	SHAPE_VALUE,
	SHAPE_ARRAY,
	SHAPE_RANGE,
	SHAPE_MULTIRANGE,
	SHAPE_ROW
} ShapeKind;

struct SdesShape
{
	ShapeKind kind;
	Oid type; /* not a domain */
	SdesEncType value;
	SdesShape *part; /* of an array, a range, a multirange */
	int16 length;    /* of an array's elements */
	bool by_value;
	char align;
	TupleDesc row;
	SdesShape **columns; /* NULL for those without values */
};

static SdesShape *
make_shape(ShapeKind kind, Oid type)
{
	SdesShape *shape = palloc0(sizeof(SdesShape));

	shape->kind = kind;
	shape->type = type;
	return shape;
}

static SdesShape *
shape_of_part(ShapeKind kind, Oid type, Oid part, int32 typmod, List **buckets)
{
	SdesShape *inner = sdes_shape_of(part, typmod, buckets);
	SdesShape *shape;

	if (inner == NULL)
		return NULL;
	shape = make_shape(kind, type);
	shape->part = inner;
	if (kind == SHAPE_ARRAY)
		get_typlenbyvalalign(part, &shape->length, &shape->by_value, &shape->align);
	return shape;
}

static SdesShape *
shape_of_row(Oid type, int32 typmod, List **buckets)
{
	TupleDesc desc = lookup_rowtype_tupdesc_copy(type, typmod);
	SdesShape *shape = make_shape(SHAPE_ROW, type);
	bool found = false;

	shape->row = desc;
	shape->columns = palloc0(Max(desc->natts, 1) * sizeof(SdesShape *));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped)
			continue;
		shape->columns[i] = sdes_shape_of(column->atttypid, column->atttypmod, buckets);
		found |= shape->columns[i] != NULL;
	}
	return found ? shape : NULL;
}

static SdesShape *
shape_of_value(Oid type, int32 typmod, List **buckets)
{
	Oid oids[SDES_NTYPES];
	SdesShape *shape;
	int value;

	sdes_type_oids(oids);
	value = sdes_type_by_oid(oids, type);
	if (value < 0)
		return NULL;
	shape = make_shape(SHAPE_VALUE, type);
	shape->value = (SdesEncType) value;
	*buckets = list_append_unique_int(*buckets,
	                                  typmod < 0 ? ANY_BUCKET : typmod >> SDES_HASH_SHIFT);
	return shape;
}

SdesShape *
sdes_shape_of(Oid type, int32 typmod, List **buckets)
{
	Oid base = getBaseTypeAndTypmod(type, &typmod);

	check_stack_depth();
	if (type_is_multirange(base))
		return shape_of_part(SHAPE_MULTIRANGE, base, get_multirange_range(base), -1,
		                     buckets);
	if (type_is_range(base))
		return shape_of_part(SHAPE_RANGE, base, get_range_subtype(base), -1, buckets);
	if (OidIsValid(get_element_type(base)))
		return shape_of_part(SHAPE_ARRAY, base, get_element_type(base), typmod, buckets);
	/* What initdb made holds none, but for the arrays and ranges above. */
	if (base < FirstNormalObjectId)
		return NULL;
	if (get_typtype(base) == TYPTYPE_COMPOSITE)
		return shape_of_row(base, -1, buckets);
	return shape_of_value(base, typmod, buckets);
}

bool
sdes_shape_holds_values(Oid type)
{
	List *buckets = NIL;

	return OidIsValid(type) && sdes_shape_of(type, -1, &buckets) != NULL;
}

SdesShape *
sdes_shape_of_elements(Oid type)
{
	List *buckets = NIL;

	return shape_of_part(SHAPE_ARRAY, InvalidOid, type, -1, &buckets);
}

bool
sdes_shape_is_value(const SdesShape *shape)
{
	return shape->kind == SHAPE_VALUE;
}

static Datum
map_value(const SdesShape *shape, Datum datum, SdesVisit visit, void *arg)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(datum);
	struct varlena *other = visit(value, shape->value, arg);

	return other == value ? datum : PointerGetDatum(other);
}

static Datum
map_array(const SdesShape *shape, Datum datum, SdesVisit visit, void *arg)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	Datum *elements;
	bool *nulls;
	int n;
	bool changed = false;

	deconstruct_array(array, ARR_ELEMTYPE(array), shape->length, shape->by_value,
	                  shape->align, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		Datum other;

		if (nulls[i])
			continue;
		other = sdes_shape_map(shape->part, elements[i], visit, arg);
		changed |= other != elements[i];
		elements[i] = other;
	}
	if (!changed)
		return datum;
	return PointerGetDatum(construct_md_array(
	    elements, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
	    ARR_ELEMTYPE(array), shape->length, shape->by_value, shape->align));
}

static bool
map_bound(const SdesShape *shape, RangeBound *bound, SdesVisit visit, void *arg)
{
	Datum other;

	if (bound->infinite)
		return false;
	other = sdes_shape_map(shape->part, bound->val, visit, arg);
	if (other == bound->val)
		return false;
	bound->val = other;
	return true;
}

static Datum
map_range(const SdesShape *shape, Datum datum, SdesVisit visit, void *arg)
{
	RangeType *range = DatumGetRangeTypeP(datum);
	TypeCacheEntry *cache = lookup_type_cache(shape->type, TYPECACHE_RANGE_INFO);
	RangeBound lower, upper;
	bool empty, changed;

	range_deserialize(cache, range, &lower, &upper, &empty);
	if (empty)
		return datum;
	changed = map_bound(shape, &lower, visit, arg);
	changed |= map_bound(shape, &upper, visit, arg);
	if (!changed)
		return datum;
		/* The bounds compare as they did: no need to make a canonical range again. */
#if PG_VERSION_NUM >= 160000
	range = range_serialize(cache, &lower, &upper, false, NULL);
#else
	range = range_serialize(cache, &lower, &upper, false);
#endif
	return RangeTypePGetDatum(range);
}

static Datum
map_multirange(const SdesShape *shape, Datum datum, SdesVisit visit, void *arg)
{
	TypeCacheEntry *cache = lookup_type_cache(shape->part->type, TYPECACHE_RANGE_INFO);
	RangeType **ranges;
	int32 n;
	bool changed = false;

	multirange_deserialize(cache, DatumGetMultirangeTypeP(datum), &n, &ranges);
	for (int i = 0; i < n; i++)
	{
		Datum range = RangeTypePGetDatum(ranges[i]);
		Datum other = map_range(shape->part, range, visit, arg);

		changed |= other != range;
		ranges[i] = DatumGetRangeTypeP(other);
	}
	if (!changed)
		return datum;
	return MultirangeTypePGetDatum(make_multirange(shape->type, cache, n, ranges));
}

static Datum
map_row(const SdesShape *shape, Datum datum, SdesVisit visit, void *arg)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(datum);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header),
	                       .t_data = header};
	Datum *values = palloc(Max(shape->row->natts, 1) * sizeof(Datum));
	bool *nulls = palloc(Max(shape->row->natts, 1) * sizeof(bool));
	bool changed = false;

	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, shape->row, values, nulls);
	for (int i = 0; i < shape->row->natts; i++)
	{
		Datum other;

		if (nulls[i] || shape->columns[i] == NULL)
			continue;
		other = sdes_shape_map(shape->columns[i], values[i], visit, arg);
		changed |= other != values[i];
		values[i] = other;
	}
	if (!changed)
		return datum;
	return HeapTupleGetDatum(heap_form_tuple(shape->row, values, nulls));
}

Datum
sdes_shape_map(const SdesShape *shape, Datum datum, SdesVisit visit, void *arg)
{
	switch (shape->kind)
	{
		case SHAPE_VALUE:
			return map_value(shape, datum, visit, arg);
		case SHAPE_ARRAY:
			return map_array(shape, datum, visit, arg);
		case SHAPE_RANGE:
			return map_range(shape, datum, visit, arg);
		case SHAPE_MULTIRANGE:
			return map_multirange(shape, datum, visit, arg);
		default:
			return map_row(shape, datum, visit, arg);
	}
}
