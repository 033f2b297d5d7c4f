#ifndef DD_PAIR_CROSSING_H
#define DD_PAIR_CROSSING_H

/*
 * What happens to a row of the primary on its way to the secondary, column by column: does the
 * column there hold the value, and if not, what does its declared policy make of it? Without a policy
 * the row is refused, and the refusal names the column and the reason. Nothing is ever cut, rounded or
 * left out that no policy says.
 *
 * One thread at a time. Nothing is allocated per row once its buffers have grown.
 */

#include "row/value.h"

typedef enum {
    DD_POLICY_ZERO_DATES,    /* days that no calendar has */
    DD_POLICY_NUL,           /* NUL bytes in text, \u0000 in JSON */
    DD_POLICY_TIME_RANGE,    /* times below 0 or above 24 hours */
    DD_POLICY_OVERFLOW,      /* numbers beyond the type, text beyond its length, odd booleans */
    DD_POLICY_INVALID_UTF8,
    DD_POLICY_FLOAT_DIGITS,
    DD_POLICY_COUNT
} dd_policy;

/* "zero_dates", ... as the project file has it. */
const char *dd_policy_name(dd_policy policy);

typedef enum {
    DD_CROSS_REFUSE,
    DD_CROSS_NULL,
    DD_CROSS_CLAMP,          /* the nearest value; text is cut */
    DD_CROSS_SET,            /* zero_dates: `date` */
    DD_CROSS_STRIP,          /* nul: left out */
    DD_CROSS_REPLACE         /* nul, invalid_utf8: U+FFFD */
} dd_cross_action;

/* What a column of the secondary holds, as far as the column of the primary may hold more. */
typedef struct dd_crossing_column {
    unsigned index;                              /* in the row; columns ascend */
    dd_kind kind;
    bool takes_null;
    bool narrow;                                 /* the primary's values may be beyond the limits */
    bool limited;                                /* integers: least to most */
    int64_t least;
    uint64_t most;
    bool counted_digits;                         /* decimals: digits before and after the point */
    unsigned whole_digits, fraction_digits;
    uint32_t most_characters;                    /* text; 0: any number */
    bool drops_blanks;                           /* text: blanks at its end are not kept */
    bool holds_nul;                              /* text, JSON */
    bool within_day;                             /* time: 0 to 24 hours */
    bool single;                                 /* float64: held as a float32 */
    unsigned digits;                             /* floats: significant digits kept; 0: all */
    int32_t date;                                /* for DD_CROSS_SET */
    dd_cross_action actions[DD_POLICY_COUNT];
} dd_crossing_column;

typedef struct dd_crossing dd_crossing;

/* Why a row does not cross. */
typedef struct dd_refusal {
    unsigned column;         /* index in the row */
    char reason[160];        /* lowercase, one line */
} dd_refusal;

/* How much there is to look at. */
typedef enum {
    DD_CROSS_ALL,            /* everything: the answer is final */
    DD_CROSS_LOADING,        /* what a load's own encoding does not refuse by itself */
    DD_CROSS_COMPARING       /* only what policies change: a row that would be refused stays as it is,
                                and the secondary cannot have its equal */
} dd_cross_depth;

/* `columns` (copied) has `count` entries with ascending indexes. */
dd_crossing *dd_crossing_new(const dd_crossing_column *columns, unsigned count);
void dd_crossing_free(dd_crossing *crossing); /* NULL is fine */

/* False when there is nothing to look at at this depth. */
bool dd_crossing_has_work(const dd_crossing *crossing, dd_cross_depth depth);

/*
 * The row that the secondary shall hold goes to *out, which points to `row` itself or to memory of
 * the crossing that is valid until the next call; false with *refusal filled when it cannot cross.
 * The row must be whole.
 */
bool dd_crossing_apply(dd_crossing *crossing, dd_cross_depth depth, const uint8_t *row,
                       size_t length, const uint8_t **out, size_t *out_length,
                       dd_refusal *refusal);

/* A row of either side as it is compared: floats rounded to the digits that are kept. */
bool dd_crossing_settles(const dd_crossing *crossing);
void dd_crossing_settle(dd_crossing *crossing, const uint8_t *row, size_t length,
                        const uint8_t **out, size_t *out_length);

/* How often each policy changed a value since the crossing was made. */
const uint64_t *dd_crossing_counts(const dd_crossing *crossing);

#endif
