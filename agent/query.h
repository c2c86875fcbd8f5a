/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: what a person types to narrow logs, as terms.
 *
 *   out of memory level:error "took too long" requestId:31255019cf83 replica:b4x9z
 *
 * Terms are separated by blanks and all must hold. A word or a "quoted phrase" is a substring of
 * the text, in any case. A prefix narrows a field: requestId:, replica:, environment:,
 * deployment:, model: (equal to the value) and level: (that level and above); a prefix given
 * twice holds when either value does. In quotes, \" and \\ stand for " and \.
 */
#ifndef REQTAP_QUERY_H
#define REQTAP_QUERY_H

#include <stddef.h>
#include "agent/record.h"

#define QUERY_MAX_BYTES 4096
#define QUERY_TERMS_MAX 32 /* of one kind */

enum query_field {
	QUERY_WORD, /* lower case in the parsed query */
	QUERY_REQUEST,
	QUERY_REPLICA,
	QUERY_ENVIRONMENT,
	QUERY_DEPLOYMENT,
	QUERY_MODEL,
	QUERY_LEVEL, /* in `level`, never in `terms` */
	QUERY_FIELDS,
};

struct query_terms {
	struct str items[QUERY_TERMS_MAX];
	unsigned count;
};

/* Its terms point into it: query__copy(). */
struct query {
	struct query_terms terms[QUERY_LEVEL];
	enum severity level; /* the lowest that shows; SEVERITY_UNSET: any, unknown ones too */
	char storage[QUERY_MAX_BYTES];
	size_t used;
};

struct query_problem {
	size_t at, len;  /* of the wrong part, in bytes of the query */
	char what[160];  /* what is wrong */
	char right[160]; /* what would be right */
};

/* `text` needs no NUL. 0; -EINVAL or -E2BIG: *ret_problem says why, *ret is not to be used. */
int query__parse(struct str text, struct query *ret, struct query_problem *ret_problem);

void query__copy(struct query *to, const struct query *from);

/* "requestId:" …; with QUERY_FIELDS, NULL. */
const char *query__prefix(enum query_field field);

/* One line: what is wrong, the query with the place marked as >>>this<<<, what would be right. */
void query__explain(struct str text, const struct query_problem *problem, char *ret, size_t size);

/* ASCII letters in lower case; others stay. `ret` may be `text` itself. */
void query__fold(const char *text, size_t len, char *ret);

#endif
