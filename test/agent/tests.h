/*
 * tests.h
 *		The groups of agent_test.
 */
#ifndef SDES_TEST_AGENT_TESTS_H
#define SDES_TEST_AGENT_TESTS_H

#include "crypto/status.h"

#include <stdbool.h>

extern void key_tests(void);
extern void pin_tests(void);
extern void fault_tests(void);
extern void ladder_tests(void);
extern void batch_tests(void);
extern void client_tests(void);
extern void sign_tests(void);
extern void wrap_tests(void);
extern void value_tests(void);
extern void vector_tests(void);
extern void failure_tests(void);

/* tap.h keeps its counters per file: these are agent_test.c's. */
extern bool check(bool passed, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
extern bool check_status(SdesStatus got, SdesStatus want, const char *name);

#endif
