/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/selector.h"

#include <stdlib.h>
#include <string.h>

#define TERMS_MAX 32
#define BLANK " \t"

enum op { OP_EXISTS, OP_NOT_EXISTS, OP_IN, OP_NOT_IN };

/* `values`: `count` words one after another, each with its NUL. */
struct term {
	enum op op;
	const char *key, *values;
	unsigned count;
};

struct selector {
	struct term terms[TERMS_MAX];
	unsigned count;
	char *words; /* of all terms */
	size_t used;
};

static const char *skip(const char *at)
{
	return at + strspn(at, BLANK);
}

/* A key or value. */
static size_t word_len(const char *at)
{
	return strcspn(at, BLANK ",()=!");
}

/* A word costs one byte more than it has in the text, and that has one between two words. */
static const char *keep(struct selector *selector, const char *word, size_t len)
{
	char *copy = selector->words + selector->used;

	memcpy(copy, word, len);
	copy[len] = 0;
	selector->used += len + 1;
	return copy;
}

/* "(f, g)"; returns what follows, or NULL. */
static const char *take_set(struct selector *selector, const char *at, struct term *term)
{
	at = skip(at);
	if (*at != '(')
		return NULL;
	do {
		size_t len;

		at = skip(at + 1);
		len = word_len(at);
		term->values = term->count++ ? term->values : selector->words + selector->used;
		keep(selector, at, len);
		at = skip(at + len);
	} while (*at == ',');
	return *at == ')' ? skip(at + 1) : NULL;
}

/* "=b", "==b", "!=b", "in (…)", "notin (…)" or nothing, after a key; returns what follows. */
static const char *take_operator(struct selector *selector, const char *at, struct term *term)
{
	size_t len = word_len(at);

	if ((len == 2 && !strncmp(at, "in", 2)) || (len == 5 && !strncmp(at, "notin", 5))) {
		term->op = len == 2 ? OP_IN : OP_NOT_IN;
		return take_set(selector, at + len, term);
	}
	if (*at != '=' && *at != '!')
		return at;
	if (*at == '!' && at[1] != '=')
		return NULL;
	term->op = *at == '!' ? OP_NOT_IN : OP_IN;
	at = skip(at + (at[1] == '=' ? 2 : 1));
	len = word_len(at);
	term->values = keep(selector, at, len);
	term->count = 1;
	return skip(at + len);
}

static bool parse(struct selector *selector, const char *at)
{
	at = skip(at);
	while (*at) {
		struct term *term = &selector->terms[selector->count];
		size_t len;

		if (selector->count++ == TERMS_MAX)
			return false;
		*term = (struct term){ .op = *at == '!' ? OP_NOT_EXISTS : OP_EXISTS };
		at = skip(at + (*at == '!'));
		len = word_len(at);
		if (!len)
			return false;
		term->key = keep(selector, at, len);
		at = skip(at + len);
		if (term->op == OP_EXISTS)
			at = take_operator(selector, at, term);
		if (!at || (*at && *at != ','))
			return false;
		at = *at ? skip(at + 1) : at;
	}
	return true;
}

struct selector *selector__parse(const char *text)
{
	struct selector *selector = calloc(1, sizeof(*selector));

	if (!selector)
		return NULL;
	selector->words = malloc(2 * strlen(text) + 2);
	if (!selector->words || !parse(selector, text))
		return selector__free(selector);
	return selector;
}

struct selector *selector__free(struct selector *selector)
{
	if (selector)
		free(selector->words);
	free(selector);
	return NULL;
}

static bool has(const struct term *term, const char *value)
{
	const char *word = term->values;

	for (unsigned i = 0; i < term->count; i++, word += strlen(word) + 1)
		if (!strcmp(word, value))
			return true;
	return false;
}

/* As Kubernetes: a label that is absent is in no set, so it satisfies != and notin. */
static bool term_match(const struct term *term, const char *value)
{
	switch (term->op) {
	case OP_EXISTS:
		return value != NULL;
	case OP_NOT_EXISTS:
		return !value;
	case OP_IN:
		return value && has(term, value);
	default:
		return !value || !has(term, value);
	}
}

bool selector__match(const struct selector *selector,
		     const char *(*find)(void *ctx, const char *key), void *ctx)
{
	for (unsigned i = 0; i < selector->count; i++)
		if (!term_match(&selector->terms[i], find(ctx, selector->terms[i].key)))
			return false;
	return true;
}
