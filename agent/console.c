/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/console.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include "agent/utf8.h"
#include "bpf/event.h"

struct console {
	FILE *out;
	enum console_format format;
	bool colour;
};

struct console *console__new(FILE *out, enum console_format format, bool colour)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return NULL;
	console->out = out;
	console->format = format;
	console->colour = colour;
	return console;
}

struct console *console__free(struct console *console)
{
	free(console);
	return NULL;
}

/* JSON escapes (RFC 8259, section 7); text is valid UTF-8. DEL too: it is a control character. */
static void put_escaped(FILE *out, struct str s)
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
	if (from < s.len)
		fwrite_unlocked(s.data + from, 1, s.len - from, out);
}

static void put_member(FILE *out, const char *name, struct str value)
{
	if (!value.len)
		return;
	fprintf(out, ",\"%s\":\"", name);
	put_escaped(out, value);
	putc_unlocked('"', out);
}

static void put_time(FILE *out, uint64_t time_ns)
{
	time_t seconds = time_ns / 1000000000;
	char text[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(out, "%s.%09lluZ", text, (unsigned long long)(time_ns % 1000000000));
}

static void put_json(FILE *out, const struct record *r)
{
	const char *text;

	fputs_unlocked("{\"time\":\"", out);
	put_time(out, r->time_ns);
	fputs_unlocked("\"", out);
	if (r->severity) {
		put_member(out, "severity_text", str_from(severity_text(r->severity)));
		fprintf(out, ",\"severity_number\":%d", r->severity);
	}
	fputs_unlocked(",\"message\":\"", out); /* an empty line is a line */
	put_escaped(out, r->message);
	putc_unlocked('"', out);
	put_member(out, "request_id", r->request_id);
	put_member(out, "replica", r->replica->replica);
	put_member(out, "model_id", r->replica->model_id);
	put_member(out, "model_version_id", r->replica->model_version_id);
	put_member(out, "environment", r->replica->environment);
	put_member(out, "training_job_id", r->replica->training_job_id);
	put_member(out, "chainlet_id", r->replica->chainlet_id);
	put_member(out, "exc_info", r->exc_info);
	if (r->stream)
		put_member(out, "stream",
			   r->stream == RT_STREAM_STDERR ? STR("stderr") : STR("stdout"));
	if (r->tgid)
		fprintf(out, ",\"pid\":%u,\"tid\":%u", r->tgid, r->tid);
	text = evidence_text(r->evidence);
	if (text)
		put_member(out, "evidence", str_from(text));
	fputs_unlocked("}\n", out);
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

static void put_pretty(struct console *console, const struct record *r)
{
	const char *level = severity_text(r->severity);
	time_t seconds = r->time_ns / 1000000000;
	FILE *out = console->out;
	char text[16];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	fprintf(out, "%s.%03llu ", text, (unsigned long long)(r->time_ns / 1000000 % 1000));
	fprintf(out, "%s%-5s%s ", console->colour ? severity_colour(r->severity) : "",
		level ? level : "", console->colour ? "\033[0m" : "");
	if (r->replica->replica.len) {
		put_visible(out, r->replica->replica);
		putc_unlocked(' ', out);
	}
	if (console->colour && r->request_id.len)
		fprintf(out, "\033[38;5;%um", id_colour(r->request_id));
	if (r->request_id.len)
		put_visible(out, r->request_id);
	else
		putc_unlocked('-', out);
	if (console->colour && r->request_id.len)
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

void console__record(struct console *console, const struct record *record)
{
	if (console->format == CONSOLE_JSON)
		put_json(console->out, record);
	else if (console->format == CONSOLE_PRETTY)
		put_pretty(console, record);
}

int console__flush(struct console *console)
{
	if (fflush(console->out) || ferror(console->out))
		return errno ? -errno : -EIO;
	return 0;
}
