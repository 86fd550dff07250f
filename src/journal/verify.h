/*
 * verify.h
 *		Whether a journal is what was written: the first record that is wrong, and how.
 *
 * Whoever can write the files can also compute all hashes anew from some record on; that
 * is found by the signatures of checkpoints, or by one that was kept elsewhere.
 */
#ifndef SDES_JOURNAL_VERIFY_H
#define SDES_JOURNAL_VERIFY_H

#include "journal/checkpoint.h"
#include "journal/record.h"

typedef enum SdesWrong
{
	SDES_WRONG_NOTHING,
	SDES_WRONG_EDITED,     /* its bytes are not those that were chained */
	SDES_WRONG_MISSING,    /* it is not there, and later ones are */
	SDES_WRONG_REORDERED,  /* it stands after a later one */
	SDES_WRONG_DUPLICATED, /* one that stands before it is there again */
	SDES_WRONG_TRUNCATED,  /* the journal ends before it, or within it */
	SDES_WRONG_FORKED,     /* what follows goes on from something else */
	SDES_WRONG_SIGNATURE   /* it is a signature, and not one by its key */
} SdesWrong;

typedef struct SdesVerify
{
	bool begun;
	uint8_t journal[SDES_JOURNAL_ID_SIZE];
	uint64_t first; /* sequence of the first record */
	uint64_t next;  /* of the one that is expected */
	uint8_t hash[SDES_DIGEST_SIZE];
	SdesWrong wrong;            /* with next the sequence that is wrong */
	SdesSignatures *signatures; /* the caller's; NULL: they are not looked at */
	SdesStatus status;          /* SDES_ERR_CRYPTO: nothing could be computed */
} SdesVerify;

/* A static string: "edited". */
extern const char *sdes_wrong_name(SdesWrong wrong);

/* The caller sets signatures afterwards, if wanted. */
extern void sdes_verify_start(SdesVerify *v);

/*
 * Goes through one segment, after those before it. False when something is wrong, which
 * ends the verification. What is cut short at its end is wrong.
 */
extern bool sdes_verify_segment(SdesVerify *v, SdesBytes segment);

/* Goes through more records of the segment, behind those that were gone through. */
extern bool sdes_verify_more(SdesVerify *v, SdesBytes records);

/*
 * Whether the journal reaches a record that is known from elsewhere; to be asked when all
 * segments are gone through. (That its hash is the one known is for the caller to look at,
 * when it comes by.)
 */
extern bool sdes_verify_reaches(SdesVerify *v, uint64_t sequence);

#endif
