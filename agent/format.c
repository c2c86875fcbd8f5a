/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/format.h"

#include <inttypes.h>
#include <time.h>
#include "bpf/event.h"

/* DEL too: it is a control character. Text is valid UTF-8. */
void format__escaped(FILE *out, struct str s)
{
	size_t from = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = s.data[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		fwrite_unlocked(s.data + from, 1, i - from, out);
		from = i + 1;
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs_unlocked("\\n", out);
		else if (c == '\t')
			fputs_unlocked("\\t", out);
		else
			fprintf(out, "\\u%04x", c);
	}
	if (s.len)
		fwrite_unlocked(s.data + from, 1, s.len - from, out);
}

static void put_member(FILE *out, const char *name, struct str value)
{
	if (!value.len)
		return;
	fprintf(out, ",\"%s\":\"", name);
	format__escaped(out, value);
	putc_unlocked('"', out);
}

/* RFC 3339, UTC, nanoseconds */
static void put_time(FILE *out, uint64_t time_ns)
{
	time_t seconds = time_ns / 1000000000;
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(out, "%s.%09lluZ", text, (unsigned long long)(time_ns % 1000000000));
}

static struct str hex(const uint8_t *bytes, size_t len, char *ret)
{
	for (size_t i = 0; i < len; i++)
		sprintf(ret + 2 * i, "%02x", bytes[i]);
	return (struct str){ ret, 2 * len };
}

static struct str stream_name(const struct record *r)
{
	if (!r->stream)
		return (struct str){ NULL, 0 };
	return r->stream == RT_STREAM_STDERR ? STR("stderr") : STR("stdout");
}

static void put_place(FILE *out, const struct record *r, const struct format_place *place)
{
	char text[33];

	fprintf(out, ",\"seq\":%" PRId64, place->seq);
	if (place->missing)
		fprintf(out, ",\"missing\":%" PRIu32, place->missing);
	put_member(out, "scope", str_from(scope_name(r->scope)));
	if (r->has_trace) {
		put_member(out, "trace_id", hex(r->trace_id, sizeof(r->trace_id), text));
		put_member(out, "span_id", hex(r->span_id, sizeof(r->span_id), text));
	}
	if (r->observed_ns) {
		fputs_unlocked(",\"observed_time\":\"", out);
		put_time(out, r->observed_ns);
		putc_unlocked('"', out);
	}
	if (!str_equal(r->body, r->message))
		put_member(out, "body", r->body);
}

void format__json(FILE *out, const struct record *r, const struct format_place *place)
{
	const char *level = severity_text(r->severity);

	putc_unlocked('{', out);
	if (place)
		fprintf(out, "\"timestamp\":\"%" PRIu64 "\",", r->time_ns);
	fputs_unlocked("\"time\":\"", out);
	put_time(out, r->time_ns);
	fputs_unlocked("\"", out);
	if (r->severity) {
		if (place)
			put_member(out, "level", str_from(level));
		put_member(out, "severity_text", str_from(level));
		fprintf(out, ",\"severity_number\":%d", r->severity);
	}
	fputs_unlocked(",\"message\":\"", out); /* an empty line is a line */
	format__escaped(out, r->message);
	putc_unlocked('"', out);
	put_member(out, "request_id", r->request_id);
	put_member(out, "replica", r->replica->replica);
	put_member(out, "model_id", r->replica->model_id);
	put_member(out, "model_version_id", r->replica->model_version_id);
	put_member(out, "environment", r->replica->environment);
	put_member(out, "training_job_id", r->replica->training_job_id);
	put_member(out, "chainlet_id", r->replica->chainlet_id);
	put_member(out, "exc_info", r->exc_info);
	put_member(out, "stream", stream_name(r));
	if (r->tgid)
		fprintf(out, ",\"pid\":%u,\"tid\":%u", r->tgid, r->tid);
	put_member(out, "evidence", str_from(evidence_text(r->evidence)));
	if (place)
		put_place(out, r, place);
	putc_unlocked('}', out);
}

static void put_field(FILE *out, struct str value)
{
	putc_unlocked('"', out);
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] == '"')
			putc_unlocked('"', out);
		putc_unlocked(value.data[i], out);
	}
	putc_unlocked('"', out);
}

void format__csv_head(FILE *out)
{
	fputs_unlocked("timestamp,time,level,replica,request_id,message,exc_info,model_id,"
		       "model_version_id,environment,chainlet_id,training_job_id,stream,pid,tid,"
		       "evidence\r\n",
		       out);
}

void format__csv(FILE *out, const struct record *r)
{
	const struct replica *replica = r->replica;
	const struct str fields[] = {
		str_from(severity_text(r->severity)),
		replica->replica,
		r->request_id,
		r->message,
		r->exc_info,
		replica->model_id,
		replica->model_version_id,
		replica->environment,
		replica->chainlet_id,
		replica->training_job_id,
		stream_name(r),
	};

	fprintf(out, "%" PRIu64 ",", r->time_ns);
	put_time(out, r->time_ns);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		putc_unlocked(',', out);
		if (fields[i].len)
			put_field(out, fields[i]);
	}
	if (r->tgid)
		fprintf(out, ",%u,%u,", r->tgid, r->tid);
	else
		fputs_unlocked(",,,", out);
	if (r->evidence)
		fputs_unlocked(evidence_text(r->evidence), out);
	fputs_unlocked("\r\n", out);
}

/* A line is hostile input to a terminal: what is no text is shown, not sent. */
static void put_visible(FILE *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = s.data[i];
		/* U+0080 to U+009F are control characters too */
		bool c1 = c == 0xc2 && i + 1 < s.len && (unsigned char)s.data[i + 1] < 0xa0;

		if (c1)
			fprintf(out, "\\xc2\\x%02x", (unsigned char)s.data[++i]);
		else if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			putc_unlocked(c, out);
	}
}

static const char *severity_colour(enum severity severity)
{
	switch (severity) {
	case SEVERITY_DEBUG:
		return "\033[2m";
	case SEVERITY_WARN:
		return "\033[33m";
	case SEVERITY_ERROR:
	case SEVERITY_FATAL:
		return "\033[31m";
	default:
		return "";
	}
}

/* A colour of its own per request, from the 256-colour cube, none too dark. */
static unsigned id_colour(struct str id)
{
	static const unsigned char colours[] = { 39,  45,  51,  83,  118, 154, 190, 214,
						 208, 203, 198, 170, 141, 105, 75,  79 };
	unsigned hash = 2166136261u;

	for (size_t i = 0; i < id.len; i++)
		hash = (hash ^ (unsigned char)id.data[i]) * 16777619u;
	return colours[hash % sizeof(colours)];
}

static void put_clock(FILE *out, uint64_t time_ns, bool date)
{
	time_t seconds = time_ns / 1000000000;
	char text[32];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	fprintf(out, "%s.%03llu ", text, (unsigned long long)(time_ns / 1000000 % 1000));
}

void format__pretty(FILE *out, const struct record *r, const struct format_style *style)
{
	const char *level = severity_text(r->severity);

	put_clock(out, r->time_ns, style->date);
	fprintf(out, "%s%-5s%s ", style->colour ? severity_colour(r->severity) : "",
		level ? level : "", style->colour ? "\033[0m" : "");
	if (r->replica->replica.len) {
		put_visible(out, r->replica->replica);
		putc_unlocked(' ', out);
	}
	if (style->colour && r->request_id.len)
		fprintf(out, "\033[38;5;%um", id_colour(r->request_id));
	if (r->request_id.len)
		put_visible(out, r->request_id);
	else
		putc_unlocked('-', out);
	if (style->colour && r->request_id.len)
		fputs_unlocked("\033[0m", out);
	putc_unlocked(' ', out);
	put_visible(out, r->message);
	putc_unlocked('\n', out);
	if (r->exc_info.len && !str_equal(r->exc_info, r->message)) {
		put_visible(out, r->exc_info);
		if (r->exc_info.data[r->exc_info.len - 1] != '\n')
			putc_unlocked('\n', out);
	}
}
