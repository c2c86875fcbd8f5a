/* SPDX-License-Identifier: Apache-2.0 */
/* Known receivers, by their own documentation; docs/export.md has the table for people. */
#include <string.h>
#include "agent/destination.h"

static const struct vendor vendors[] = {
	{ "honeycomb", "https://api.honeycomb.io/v1/logs", "x-honeycomb-team",
	  "value: an API key; EU: https://api.eu1.honeycomb.io/v1/logs", 15000000 },
	{ "datadog", "https://otlp.datadoghq.com/v1/logs", "dd-api-key",
	  "value: an API key; another site has another host: https://otlp.SITE/v1/logs", 0 },
	{ "grafana", NULL, "Authorization",
	  "endpoint: https://otlp-gateway-ZONE.grafana.net/otlp/v1/logs; value: 'Basic ' and the "
	  "base64 of INSTANCE:TOKEN",
	  0 },
	{ "newrelic", "https://otlp.nr-data.net/v1/logs", "api-key",
	  "value: a licence key; EU: https://otlp.eu01.nr-data.net/v1/logs", 1000000 },
	{ "sentry", NULL, "x-sentry-auth",
	  "endpoint: https://oORG.ingest.sentry.io/api/PROJECT/integration/otlp/v1/logs; value: "
	  "'sentry "
	  "sentry_key=PUBLIC_KEY'",
	  0 },
	{ "loki", NULL, "X-Scope-OrgID",
	  "endpoint: http://HOST:3100/otlp/v1/logs; value: the tenant", 0 },
	{ "elastic", NULL, "Authorization",
	  "endpoint: https://MANAGED_ENDPOINT/v1/logs; value: 'ApiKey ' and the key", 0 },
	{ "collector", "http://localhost:4318/v1/logs", NULL, "any OpenTelemetry Collector", 0 },
};

const struct vendor *vendor__find(const char *name)
{
	for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++)
		if (strcmp(vendors[i].name, name) == 0)
			return &vendors[i];
	return NULL;
}

const struct vendor *vendor__at(size_t index)
{
	return index < sizeof(vendors) / sizeof(vendors[0]) ? &vendors[index] : NULL;
}
