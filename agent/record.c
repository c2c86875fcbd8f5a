/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/record.h"

const char *severity_text(enum severity severity)
{
	switch (severity) {
	case SEVERITY_DEBUG:
		return "DEBUG";
	case SEVERITY_INFO:
		return "INFO";
	case SEVERITY_WARN:
		return "WARN";
	case SEVERITY_ERROR:
		return "ERROR";
	case SEVERITY_FATAL:
		return "FATAL";
	case SEVERITY_UNSET:
		break;
	}
	return NULL;
}

const char *evidence_text(enum evidence evidence)
{
	static const char *const texts[EVIDENCE_COUNT] = {
		[EVIDENCE_LINE] = "line",     [EVIDENCE_UNIT] = "unit",
		[EVIDENCE_THREAD] = "thread", [EVIDENCE_RELAY] = "relay",
		[EVIDENCE_TEXT] = "text",     [EVIDENCE_HANDOFF] = "handoff",
		[EVIDENCE_SOLE] = "sole",
	};

	return texts[evidence];
}

const char *scope_name(enum scope scope)
{
	static const char *const names[SCOPE_COUNT] = { "serving", "build", "deploy" };

	return names[scope];
}
