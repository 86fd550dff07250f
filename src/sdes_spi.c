/*
 * sdes_spi.c
 *		Statements on the sdes.* tables through SPI, with parameters.
 */
#include "postgres.h"

#include "sdes_spi.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sdes_datum.h"
#include "utils/builtins.h"

#define MAX_STATEMENTS 32

/* Statements that were planned, by the address of their text. */
static struct
{
	const char *statement;
	SPIPlanPtr plan;
} plans[MAX_STATEMENTS];

void
sdes_spi_add(SdesSpiParameters *parameters, Oid type, Datum value)
{
	Assert(parameters->n < SDES_SPI_PARAMETERS);
	parameters->types[parameters->n] = type;
	parameters->nulls[parameters->n] = ' ';
	parameters->values[parameters->n++] = value;
}

void
sdes_spi_add_null(SdesSpiParameters *parameters, Oid type)
{
	sdes_spi_add(parameters, type, (Datum) 0);
	parameters->nulls[parameters->n - 1] = 'n';
}

void
sdes_spi_add_text(SdesSpiParameters *parameters, const char *text)
{
	if (text == NULL)
		sdes_spi_add_null(parameters, TEXTOID);
	else
		sdes_spi_add(parameters, TEXTOID, CStringGetTextDatum(text));
}

void
sdes_spi_add_uuid(SdesSpiParameters *parameters, const uint8 *uuid)
{
	sdes_spi_add(parameters, UUIDOID, sdes_uuid_datum(uuid));
}

void
sdes_spi_add_bytes(SdesSpiParameters *parameters, const void *data, size_t size)
{
	sdes_spi_add(parameters, BYTEAOID, sdes_bytea_datum(data, size));
}

static SPIPlanPtr
plan_of(const char *statement, SdesSpiParameters *parameters)
{
	SPIPlanPtr plan;
	int i = 0;

	while (i < MAX_STATEMENTS && plans[i].statement != NULL)
	{
		if (plans[i].statement == statement)
			return plans[i].plan;
		i++;
	}
	plan = SPI_prepare(statement, parameters->n, parameters->types);
	if (plan == NULL || i == MAX_STATEMENTS || SPI_keepplan(plan) != 0)
		elog(ERROR, "statement on a table of sdes could not be planned");
	plans[i].statement = statement;
	plans[i].plan = plan;
	return plan;
}

void
sdes_spi_run(const char *statement, SdesSpiParameters *parameters)
{
	if (SPI_execute_plan(plan_of(statement, parameters), parameters->values,
	                     parameters->nulls, false, 0) < 0)
		elog(ERROR, "statement on a table of sdes failed");
}

void
sdes_spi_run_once(const char *statement, SdesSpiParameters *parameters)
{
	if (SPI_execute_with_args(statement, parameters->n, parameters->types,
	                          parameters->values, parameters->nulls, false, 0) < 0)
		elog(ERROR, "statement on a table of sdes failed");
}

void
sdes_spi_read(const char *statement, SdesSpiParameters *parameters)
{
	if (SPI_execute_with_args(statement, parameters->n, parameters->types,
	                          parameters->values, parameters->nulls, true, 0) < 0)
		elog(ERROR, "statement on a table of sdes failed");
}

SdesSpiTry
sdes_spi_begin_try(void)
{
	SdesSpiTry try = {.context = CurrentMemoryContext, .owner = CurrentResourceOwner};

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(try.context);
	return try;
}

void
sdes_spi_end_try(const SdesSpiTry *try)
{
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(try->context);
	CurrentResourceOwner = try->owner;
}

char *
sdes_spi_catch(const SdesSpiTry *try)
{
	ErrorData *error;

	MemoryContextSwitchTo(try->context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
	    error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		PG_RE_THROW();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(try->context);
	CurrentResourceOwner = try->owner;
	return error->message;
}
