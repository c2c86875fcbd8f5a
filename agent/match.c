/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/match.h"

#include <errno.h>
#include <stdlib.h>
#include "agent/roster.h"

struct identity {
	uint32_t id;
	struct replica *replica;
	uint64_t first_ns;
	uint64_t from_ns; /* records from then on match; UINT64_MAX: none do */
};

struct match {
	struct query query;
	struct scan_plan plan;
	struct scan_group groups[QUERY_TERMS_MAX + 2];
	struct identity *identities; /* in order of id */
	size_t count, size;
	const struct identity *last; /* most records follow one of the same replica */
	uint32_t unknown;            /* not in the table: not to be read again for it */
	char *folded;
	size_t folded_size;
};

static void forget_identities(struct match *m)
{
	for (size_t i = 0; i < m->count; i++)
		free(m->identities[i].replica);
	m->count = 0;
	m->last = NULL;
}

struct match *match__free(struct match *m)
{
	if (!m)
		return NULL;
	forget_identities(m);
	free(m->identities);
	free(m->folded);
	free(m);
	return NULL;
}

/* An empty list holds for all. */
static bool any_of(const struct query_terms *terms, struct str value)
{
	for (unsigned i = 0; i < terms->count; i++)
		if (str_equal(terms->items[i], value))
			return true;
	return !terms->count;
}

static void add_identity(void *ctx, const struct store_identity *from)
{
	struct match *m = ctx;
	struct replica *copy = replica_copy(&from->replica);

	if (copy && m->count == m->size) {
		size_t size = m->size ? 2 * m->size : 64;
		struct identity *grown = realloc(m->identities, size * sizeof(*grown));

		if (grown) {
			m->identities = grown;
			m->size = size;
		}
	}
	if (!copy || m->count == m->size) {
		free(copy);
		return;
	}
	m->identities[m->count++] = (struct identity){ from->id, copy, from->first_ns, 0 };
}

/* When the deployment was first seen in one of the environments asked for; UINT64_MAX: never. */
static uint64_t active_from(const struct match *m, struct str deployment)
{
	const struct query_terms *environments = &m->query.terms[QUERY_ENVIRONMENT];
	uint64_t from_ns = UINT64_MAX;

	for (size_t i = 0; i < m->count && deployment.len; i++) {
		const struct identity *other = &m->identities[i];

		if (str_equal(other->replica->model_version_id, deployment) &&
		    other->replica->environment.len &&
		    any_of(environments, other->replica->environment) && other->first_ns < from_ns)
			from_ns = other->first_ns;
	}
	return from_ns;
}

static uint64_t matches_from(const struct match *m, const struct replica *replica)
{
	const struct query_terms *terms = m->query.terms;

	if (!any_of(&terms[QUERY_REPLICA], replica->replica) ||
	    !any_of(&terms[QUERY_DEPLOYMENT], replica->model_version_id) ||
	    !any_of(&terms[QUERY_MODEL], replica->model_id))
		return UINT64_MAX;
	if (any_of(&terms[QUERY_ENVIRONMENT], replica->environment))
		return 0;
	return replica->environment.len ? UINT64_MAX : active_from(m, replica->model_version_id);
}

static bool names_identity(const struct query *query)
{
	return query->terms[QUERY_REPLICA].count || query->terms[QUERY_ENVIRONMENT].count ||
	       query->terms[QUERY_DEPLOYMENT].count || query->terms[QUERY_MODEL].count;
}

static struct scan_group *new_group(struct match *m)
{
	struct scan_group *group = &m->groups[m->plan.group_count++];

	group->count = 0;
	return group;
}

/* More alternatives than the group has room for: it says nothing. */
static struct filter_probe *new_probe(struct scan_group *group)
{
	static struct filter_probe spare;

	return group->count < SCAN_ALTERNATIVES ? &group->probes[group->count++] : &spare;
}

static void plan_identities(struct match *m)
{
	struct scan_group *group = new_group(m);
	unsigned matching = 0;

	for (size_t i = 0; i < m->count; i++) {
		const struct identity *identity = &m->identities[i];

		if (identity->from_ns == UINT64_MAX || ++matching > SCAN_ALTERNATIVES)
			continue;
		filter__probe_identity(new_probe(group), identity->id);
	}
	if (matching > SCAN_ALTERNATIVES)
		group->count = 0;
}

static void plan_requests(struct match *m)
{
	const struct query_terms *requests = &m->query.terms[QUERY_REQUEST];

	m->plan.key_count = requests->count <= SCAN_ALTERNATIVES ? requests->count : 0;
	for (unsigned i = 0; i < m->plan.key_count; i++)
		m->plan.keys[i] = keys__of(requests->items[i]);
}

static void make_plan(struct match *m)
{
	const struct query *query = &m->query;

	m->plan.groups = m->groups;
	m->plan.group_count = 0;
	m->plan.levels = ~0U << (query->level ? chunk__level(query->level) : 0);
	m->plan.notices = !query->terms[QUERY_REQUEST].count;
	plan_requests(m);
	if (names_identity(query))
		plan_identities(m);
	for (unsigned i = 0; i < query->terms[QUERY_WORD].count; i++) {
		const struct str *word = &query->terms[QUERY_WORD].items[i];
		struct scan_group *group = new_group(m);

		filter__probe_text(new_probe(group), word->data, word->len);
		if (!group->probes[0].count)
			group->count = 0; /* too short to be asked for */
	}
}

struct match *match__new(const struct query *query)
{
	struct match *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	query__copy(&m->query, query);
	m->plan.until_ns = UINT64_MAX;
	make_plan(m);
	return m;
}

int match__identities(struct match *m, struct scan *scan)
{
	int err;

	forget_identities(m);
	err = scan__identities(scan, add_identity, m);
	for (size_t i = 0; i < m->count; i++)
		m->identities[i].from_ns = matches_from(m, m->identities[i].replica);
	make_plan(m);
	return err;
}

const struct query *match__query(const struct match *m)
{
	return &m->query;
}

struct scan_plan *match__plan(struct match *m)
{
	return &m->plan;
}

static int by_id(const void *key, const void *member)
{
	uint32_t id = *(const uint32_t *)key, other = ((const struct identity *)member)->id;

	return id < other ? -1 : id > other;
}

static const struct identity *find(struct match *m, uint32_t id)
{
	if (!m->last || m->last->id != id)
		m->last = m->count ? bsearch(&id, m->identities, m->count, sizeof(*m->identities),
					     by_id)
				   : NULL;
	return m->last;
}

static int contains(struct match *m, struct str text, struct str word)
{
	if (text.len < word.len)
		return false;
	if (text.len > m->folded_size) {
		char *grown = realloc(m->folded, text.len);

		if (!grown)
			return -ENOMEM;
		m->folded = grown;
		m->folded_size = text.len;
	}
	query__fold(text.data, text.len, m->folded);
	return memmem(m->folded, text.len, word.data, word.len) != NULL;
}

static int has_words(struct match *m, const struct record *record)
{
	const struct query_terms *words = &m->query.terms[QUERY_WORD];
	int found = true;

	for (unsigned i = 0; i < words->count && found > 0; i++) {
		found = contains(m, record->message, words->items[i]);
		if (!found)
			found = contains(m, record->exc_info, words->items[i]);
	}
	return found;
}

int match__record(struct match *m, struct scan *scan, struct record *record,
		  const struct chunk_entry *entry)
{
	static const struct replica nobody;
	const struct identity *identity = find(m, entry->identity);
	int err;

	if (!identity && entry->identity != m->unknown) {
		m->unknown = entry->identity;
		err = match__identities(m, scan);
		if (err)
			return err;
		identity = find(m, entry->identity);
	}
	record->replica = identity ? identity->replica : &nobody;
	if (record->time_ns < m->plan.since_ns || record->time_ns >= m->plan.until_ns)
		return false;
	if (entry->missing)
		return m->plan.notices;
	if (m->query.level && record->severity < m->query.level)
		return false;
	if (m->query.terms[QUERY_REQUEST].count &&
	    !any_of(&m->query.terms[QUERY_REQUEST], record->request_id))
		return false;
	if (names_identity(&m->query) && (!identity || record->time_ns < identity->from_ns))
		return false;
	return has_words(m, record);
}

bool match__is_plain(const struct match *m)
{
	return !m->query.terms[QUERY_WORD].count && !m->query.terms[QUERY_REQUEST].count &&
	       !names_identity(&m->query);
}
