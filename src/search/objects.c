/*
 * objects.c
 *		OIDs of this extension's operators, looked up once and again after changes.
 */
#include "postgres.h"

#include "search/objects.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "sdes_compat.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static SdesSearchObjects objects;
static bool known = false;   /* objects or their absence are those of now */
static bool present = false; /* there are some */

static void
forget(Datum arg, int cacheid, uint32 hashvalue)
{
	known = false;
}

void
sdes_objects_init(void)
{
	CacheRegisterSyscacheCallback(OPEROID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, forget, (Datum) 0);
}

static Oid
operator(const char *name, Oid left, Oid right)
{
	List *full = list_make2(makeString(pstrdup("sdes")), makeString(pstrdup(name)));

	return OpernameGetOprid(full, left, right);
}

/* A function of one argument. */
static Oid
function_of(const char *name, Oid argument)
{
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
	                       PointerGetDatum(buildoidvector(&argument, 1)),
	                       ObjectIdGetDatum(sdes_schema_oid()));
}

static void
find_orders(Oid type, SdesOrders *orders)
{
	orders->token_less = operator("<#", type, type);
	orders->token_greater = operator(">#", type, type);
	orders->less = operator("<~", type, type);
	orders->greater = operator(">~", type, type);
	orders->equal = operator("=~", type, type);
	present = present && OidIsValid(orders->token_less) && OidIsValid(orders->equal) &&
	          OidIsValid(orders->less) && OidIsValid(orders->greater);
}

/* The function of an operator, by what plans remember of functions. */
static void
add_comparison(Oid opno)
{
	Oid function = OidIsValid(opno) ? get_opcode(opno) : InvalidOid;
	SdesComparison *comparison = &objects.comparisons[objects.ncomparisons];
	Oid left;
	Oid right;

	if (!OidIsValid(function))
		return;
	op_input_types(opno, &left, &right);
	comparison->function = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function));
	comparison->with_text = left == TEXTOID || right == TEXTOID;
	objects.ncomparisons++;
}

static Oid
equality(Oid left, Oid right)
{
	List *full = list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup("=")));

	return OpernameGetOprid(full, left, right);
}

/* Equality is what an index is searched by; the order of tokens nobody asks for. */
static void
find_comparisons(void)
{
	if (objects.comparisons == NULL)
		objects.comparisons = MemoryContextAlloc(
		    TopMemoryContext, (3 * SDES_NTYPES + 2) * sizeof(SdesComparison));
	objects.ncomparisons = 0;
	for (int i = 0; i < SDES_NTYPES; i++)
	{
		objects.equals[3 * i] = equality(objects.types[i], objects.types[i]);
		objects.equals[3 * i + 1] = equality(objects.types[i], TEXTOID);
		objects.equals[3 * i + 2] = equality(TEXTOID, objects.types[i]);
	}
	for (size_t i = 0; i < lengthof(objects.equals); i++)
	{
		add_comparison(objects.equals[i]);
		objects.unequals[i] =
		    OidIsValid(objects.equals[i]) ? get_negator(objects.equals[i]) : InvalidOid;
	}
	add_comparison(objects.ci_equal);
	add_comparison(operator("=^", objects.types[SDES_ENC_TEXT],
	                        objects.types[SDES_ENC_TEXT]));
}

static void
find_openers(void)
{
	static const char *const names[] = {"to_text", "to_varchar", "to_bpchar"};

	for (int i = 0; i < SDES_NTYPES; i++)
		for (size_t n = 0; n < lengthof(names); n++)
			objects.openers[lengthof(names) * i + n] =
			    function_of(names[n], objects.types[i]);
}

static void
find_all(void)
{
	Oid schema = sdes_schema_oid();
	Oid text_type;

	present = OidIsValid(schema);
	if (!present)
		return;
	sdes_type_oids(objects.types);
	for (int i = 0; i < SDES_NTYPES && present; i++)
	{
		present = OidIsValid(objects.types[i]);
		if (present)
			find_orders(objects.types[i], &objects.orders[i]);
	}
	if (!present)
		return;
	text_type = objects.types[SDES_ENC_TEXT];
	find_openers();
	objects.enc_text_to_text = objects.openers[0];
	objects.ci_equal = operator("=^", text_type, TEXTOID);
	present = OidIsValid(objects.enc_text_to_text) && OidIsValid(objects.ci_equal);
	if (!present)
		return;
	objects.ci_equal_function = get_opcode(objects.ci_equal);
	find_comparisons();
}

const SdesSearchObjects *
sdes_search_objects(void)
{
	if (!known)
	{
		/* What changes while it is looked up is for the next time. */
		known = true;
		find_all();
	}
	return present ? &objects : NULL;
}
