/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/query.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static const char *const prefixes[QUERY_FIELDS] = {
	[QUERY_REQUEST] = "requestId:",
	[QUERY_REPLICA] = "replica:",
	[QUERY_ENVIRONMENT] = "environment:",
	[QUERY_DEPLOYMENT] = "deployment:",
	[QUERY_MODEL] = "model:",
	[QUERY_LEVEL] = "level:",
};

/* What people type in their place: an error that names the prefix, not a silent word. */
static const struct {
	const char *wrong;
	enum query_field field;
} mistakes[] = {
	{ "request_id:", QUERY_REQUEST },
	{ "request-id:", QUERY_REQUEST },
	{ "request:", QUERY_REQUEST },
	{ "x-baseten-request-id:", QUERY_REQUEST },
	{ "replica_id:", QUERY_REPLICA },
	{ "replicaId:", QUERY_REPLICA },
	{ "pod:", QUERY_REPLICA },
	{ "env:", QUERY_ENVIRONMENT },
	{ "deployment_id:", QUERY_DEPLOYMENT },
	{ "deploymentId:", QUERY_DEPLOYMENT },
	{ "model_version_id:", QUERY_DEPLOYMENT },
	{ "model_id:", QUERY_MODEL },
	{ "modelId:", QUERY_MODEL },
	{ "severity:", QUERY_LEVEL },
	{ "loglevel:", QUERY_LEVEL },
};

static const struct {
	const char *name;
	enum severity severity;
} levels[] = {
	{ "debug", SEVERITY_DEBUG },    { "info", SEVERITY_INFO },   { "warn", SEVERITY_WARN },
	{ "warning", SEVERITY_WARN },   { "error", SEVERITY_ERROR }, { "fatal", SEVERITY_FATAL },
	{ "critical", SEVERITY_FATAL },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct parser {
	struct str text;
	size_t at;
	struct query *query;
	struct query_problem *problem;
};

const char *query__prefix(enum query_field field)
{
	return field < QUERY_FIELDS ? prefixes[field] : NULL;
}

/* Eight bytes at once: most of a search is spent here. */
static uint64_t fold_word(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t low = word & 0x7f * ones;
	uint64_t from_a = low + (0x80 - 'A') * ones, beyond_z = low + (0x7f - 'Z') * ones;

	return word | (~word & 0x80 * ones & (from_a ^ beyond_z)) >> 2;
}

void query__fold(const char *text, size_t len, char *ret)
{
	size_t i = 0;
	uint64_t word;

	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		word = fold_word(word);
		memcpy(ret + i, &word, sizeof(word));
	}
	for (; i < len; i++)
		ret[i] = text[i] | (text[i] >= 'A' && text[i] <= 'Z') << 5;
}

__attribute__((format(printf, 5, 6))) static int refuse(struct parser *p, size_t at, size_t len,
							const char *what, const char *right, ...)
{
	va_list args;

	p->problem->at = at;
	p->problem->len = len;
	snprintf(p->problem->what, sizeof(p->problem->what), "%s", what);
	va_start(args, right);
	vsnprintf(p->problem->right, sizeof(p->problem->right), right, args);
	va_end(args);
	return -EINVAL;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool starts_with(struct str text, const char *word)
{
	size_t len = strlen(word);

	return text.len >= len && !strncasecmp(text.data, word, len);
}

/* The text from `p->at` to the next blank or the end, as it stands. */
static size_t bare_length(const struct parser *p)
{
	size_t end = p->at;

	while (end < p->text.len && !is_blank(p->text.data[end]))
		end++;
	return end - p->at;
}

/* A value, quoted or bare, into the query's own storage; -EINVAL: a quote is not closed. The
 * storage is as long as the longest query, so a value always fits. */
static int read_value(struct parser *p, struct str *ret)
{
	char *to = p->query->storage + p->query->used;
	size_t from = p->at, len = 0;
	const char *data = p->text.data;

	if (from >= p->text.len || data[from] != '"') {
		len = bare_length(p);
		memcpy(to, data + from, len);
		p->at += len;
	} else {
		p->at++;
		while (p->at < p->text.len && data[p->at] != '"') {
			if (data[p->at] == '\\' && p->at + 1 < p->text.len &&
			    (data[p->at + 1] == '"' || data[p->at + 1] == '\\'))
				p->at++;
			to[len++] = data[p->at++];
		}
		if (p->at >= p->text.len)
			return refuse(p, from, p->text.len - from, "a quote is not closed",
				      "end the phrase with \"");
		p->at++;
	}
	p->query->used += len;
	*ret = (struct str){ to, len };
	return 0;
}

static int set_level(struct parser *p, struct str value, size_t at)
{
	for (size_t i = 0; i < COUNT(levels); i++)
		if (starts_with(value, levels[i].name) && strlen(levels[i].name) == value.len) {
			if (!p->query->level || levels[i].severity < p->query->level)
				p->query->level = levels[i].severity;
			return 0;
		}
	return refuse(p, at, p->at - at, "no such level", "give debug, info, warn, error or fatal");
}

static int add_term(struct parser *p, enum query_field field, struct str value, size_t at)
{
	struct query_terms *terms = &p->query->terms[field];

	if (field == QUERY_LEVEL)
		return set_level(p, value, at);
	if (terms->count == QUERY_TERMS_MAX)
		return refuse(p, at, p->at - at, "too many terms", "give at most %d of a kind",
			      QUERY_TERMS_MAX);
	if (field == QUERY_WORD)
		query__fold(value.data, value.len, (char *)(uintptr_t)value.data);
	terms->items[terms->count++] = value;
	return 0;
}

/* Which field the term at `p->at` is about; p->at goes behind the prefix. */
static int read_prefix(struct parser *p, enum query_field *ret)
{
	struct str rest = { p->text.data + p->at, p->text.len - p->at };

	*ret = QUERY_WORD;
	for (enum query_field f = QUERY_REQUEST; f < QUERY_FIELDS; f++)
		if (starts_with(rest, prefixes[f])) {
			*ret = f;
			p->at += strlen(prefixes[f]);
			return 0;
		}
	for (size_t i = 0; i < COUNT(mistakes); i++)
		if (starts_with(rest, mistakes[i].wrong))
			return refuse(p, p->at, strlen(mistakes[i].wrong), "no such prefix",
				      "give %s, or quotes for a word", prefixes[mistakes[i].field]);
	return 0;
}

static int read_term(struct parser *p)
{
	size_t start = p->at, value_at;
	enum query_field field;
	struct str value = { NULL, 0 };
	int err = read_prefix(p, &field);

	value_at = p->at;
	if (!err)
		err = read_value(p, &value);
	if (err)
		return err;
	if (!value.len)
		return refuse(p, start, p->at - start, "a value is missing",
			      field ? "write the value just behind %s"
				    : "give a word in the quotes",
			      field ? prefixes[field] : "");
	if (p->at < p->text.len && !is_blank(p->text.data[p->at]))
		return refuse(p, p->at, bare_length(p), "text directly behind a closed quote",
			      "put a blank between, or \\\" for a quote in the phrase");
	return add_term(p, field, value, value_at);
}

int query__parse(struct str text, struct query *ret, struct query_problem *ret_problem)
{
	struct parser p = { .text = text, .query = ret, .problem = ret_problem };
	int err = 0;

	memset(ret->terms, 0, sizeof(ret->terms));
	ret->level = SEVERITY_UNSET;
	ret->used = 0;
	if (text.len > QUERY_MAX_BYTES) {
		refuse(&p, QUERY_MAX_BYTES, text.len - QUERY_MAX_BYTES, "the query is too long",
		       "give at most %d bytes", QUERY_MAX_BYTES);
		return -E2BIG;
	}
	while (!err) {
		while (p.at < text.len && is_blank(text.data[p.at]))
			p.at++;
		if (p.at == text.len)
			break;
		err = read_term(&p);
	}
	return err;
}

void query__copy(struct query *to, const struct query *from)
{
	*to = *from;
	for (int f = 0; f < QUERY_LEVEL; f++)
		for (unsigned i = 0; i < to->terms[f].count; i++)
			to->terms[f].items[i].data =
				to->storage + (from->terms[f].items[i].data - from->storage);
}

void query__explain(struct str text, const struct query_problem *problem, char *ret, size_t size)
{
	size_t at = problem->at < text.len ? problem->at : text.len;
	size_t len = problem->len < text.len - at ? problem->len : text.len - at;
	/* a long query shows as what is around the place */
	size_t from = at > 40 ? at - 40 : 0, tail = at + len;
	size_t shown = len > 60 ? 60 : len, rest = text.len - tail > 40 ? 40 : text.len - tail;

	snprintf(ret, size, "%s at column %zu: %s%.*s>>>%.*s%s<<<%.*s%s; %s", problem->what, at + 1,
		 from ? "…" : "", (int)(at - from), text.data + from, (int)shown, text.data + at,
		 shown < len ? "…" : "", (int)rest, text.data + tail,
		 tail + rest < text.len ? "…" : "", problem->right);
}
