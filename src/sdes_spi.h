/*
 * sdes_spi.h
 *		Statements on the sdes.* tables through SPI, with parameters.
 *
 * Whoever runs them sees to it that search_path is safe. Errors are PostgreSQL's own.
 */
#ifndef SDES_SPI_H
#define SDES_SPI_H

#include "postgres.h"

#include "utils/resowner.h"

#define SDES_SPI_PARAMETERS 10

typedef struct SdesSpiParameters
{
	int n;
	Oid types[SDES_SPI_PARAMETERS];
	Datum values[SDES_SPI_PARAMETERS];
	char nulls[SDES_SPI_PARAMETERS];
} SdesSpiParameters;

extern void sdes_spi_add(SdesSpiParameters *parameters, Oid type, Datum value);
extern void sdes_spi_add_null(SdesSpiParameters *parameters, Oid type);

extern void sdes_spi_add_uuid(SdesSpiParameters *parameters, const uint8 *uuid);
extern void sdes_spi_add_bytes(SdesSpiParameters *parameters, const void *data,
                               size_t size);

/* NULL for NULL. */
extern void sdes_spi_add_text(SdesSpiParameters *parameters, const char *text);

/*
 * Runs a statement between SPI_connect() and SPI_finish(). It is a constant, and planned
 * once in the life of the process.
 */
extern void sdes_spi_run(const char *statement, SdesSpiParameters *parameters);

/* Runs one that is planned each time: it names what is there for the moment only. */
extern void sdes_spi_run_once(const char *statement, SdesSpiParameters *parameters);

/* The same of one that only reads, on the snapshot of the caller's statement. */
extern void sdes_spi_read(const char *statement, SdesSpiParameters *parameters);

/*
 * What may fail without taking the transaction along: a subtransaction between
 * sdes_spi_begin_try() and sdes_spi_end_try(), or sdes_spi_catch() in PG_CATCH(), which
 * returns the error's message, palloc'd. A cancel, or the end of the process, is no such
 * failure: it is raised again.
 */
typedef struct SdesSpiTry
{
	MemoryContext context;
	ResourceOwner owner;
} SdesSpiTry;

extern SdesSpiTry sdes_spi_begin_try(void);
extern void sdes_spi_end_try(const SdesSpiTry *try);
extern char *sdes_spi_catch(const SdesSpiTry *try);

#endif
