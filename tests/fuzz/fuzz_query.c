/* SPDX-License-Identifier: Apache-2.0 */
/* A query as it came, and again in the quotes that any of its terms could be written in. */
#include <stdlib.h>
#include "agent/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct query *query)
{
	for (int f = 0; f < QUERY_LEVEL; f++)
		for (unsigned i = 0; i < query->terms[f].count; i++) {
			const struct str *term = &query->terms[f].items[i];

			if (!term->len || term->data < query->storage ||
			    term->data + term->len > query->storage + sizeof(query->storage))
				abort();
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct query_problem problem;
	struct query query;
	char line[700];

	if (query__parse(text, &query, &problem) == 0) {
		check(&query);
		return 0;
	}
	if (problem.at + problem.len > size || !problem.right[0])
		abort();
	query__explain(text, &problem, line, sizeof(line));
	return 0;
}
