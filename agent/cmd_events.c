/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include "agent/command.h"
#include "agent/events.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/secret.h"

struct values {
	const char *lease_namespace, *lease_name, *lease_holder;
	const char *state_dir, *secret_dir, *selector;
	const char *kube_api, *kube_token_file, *kube_ca_file;
	struct option_list identities;
	uint64_t lease_duration;
};

static const char *check_identity(const char *text)
{
	struct identity_map map = { 0 };

	return identity_map__parse(&map, text)
		       ? "such as model_id=label:example.com/model+env:MODEL_ID"
		       : NULL;
}

#define AT(member) .offset = offsetof(struct values, member)
#define TEXT(member, option, metavar, words)                                                       \
	{                                                                                          \
		.name = (option), .type = OPTION_TEXT, AT(member), .argument = (metavar),          \
		.help = (words)                                                                    \
	}

static const struct option_spec specs[] = {
	TEXT(lease_namespace, "lease-namespace", "NAMESPACE", "of the Lease (reqtap)"),
	TEXT(lease_name, "lease-name", "NAME", "of the Lease (reqtap-events)"),
	TEXT(lease_holder, "lease-holder", "NAME", "this process among its equals (host name)"),
	{ .name = "lease-duration",
	  .type = OPTION_DURATION,
	  AT(lease_duration),
	  .argument = "TIME",
	  .min = 3000000000ULL,
	  .max = 600000000000ULL,
	  .help = "after which another takes the Lease of one that is gone (15s)" },
	TEXT(selector, "selector", "SELECTOR",
	     "label selector of the pods whose deployments are told of (those that say a model)"),
	{ .name = "identity",
	  .type = OPTION_LIST,
	  AT(identities),
	  .argument = "RULE",
	  .check = check_identity,
	  .help = "where an attribute comes from; see reqtap agent" },
	TEXT(state_dir, "state-dir", "DIR", "what is not sent yet (in memory)"),
	TEXT(secret_dir, "secret-dir", "DIR", "mounted secret with the connection"),
	TEXT(kube_api, "kube-api", "URL", "API server (by KUBERNETES_SERVICE_HOST)"),
	TEXT(kube_token_file, "kube-token-file", "FILE", "bearer token (the service account's)"),
	TEXT(kube_ca_file, "kube-ca-file", "FILE", "certificates (the service account's)"),
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "events",
	.operands = "",
	.summary =
		"Tells what happens to the deployments of a cluster: activated, scaled, scaled to "
		"zero, woken.",
	.notes = "Several may run; the one that holds the Lease tells. Captures nothing.\n"
		 "Exit status: 0 after SIGTERM; 2 usage, 77 not in a cluster.",
	.options = specs,
};

static void fill(struct events_config *config, const struct values *values)
{
	config->http.token_file =
		values->kube_token_file ? values->kube_token_file : KUBE_ACCOUNT_DIR "/token";
	config->http.ca_file =
		values->kube_ca_file ? values->kube_ca_file : KUBE_ACCOUNT_DIR "/ca.crt";
	config->connection = (struct connection_config){
		.state_dir = values->state_dir,
		.secret_dir = values->secret_dir,
		.use_env = true,
	};
	config->lease_space = values->lease_namespace;
	config->lease_name = values->lease_name;
	config->lease_holder = values->lease_holder;
	config->lease_duration_s = values->lease_duration / 1000000000;
}

/* Where the API server is, and which pods count. 0, or the exit status. */
static int find_ground(struct events_config *config, const struct values *values, char *base,
		       size_t size)
{
	struct selector *selected = NULL;

	if (values->selector && *values->selector) {
		selected = selector__parse(values->selector);
		if (!selected) {
			log_error("--selector: not a label selector; app=model,tier in (gpu) would "
				  "be right");
			return EXIT_USAGE;
		}
	}
	config->rules.selected = selected;
	config->http.base = values->kube_api ? values->kube_api : base;
	if (values->kube_api || !kube_http__in_cluster(base, size))
		return 0;
	log_error("not in a cluster: KUBERNETES_SERVICE_HOST is not set; --kube-api says where the "
		  "API server is");
	return EXIT_CANNOT;
}

int cmd_events(int argc, char **argv)
{
	char host[256] = "", base[512];
	struct values values = { .lease_namespace = "reqtap",
				 .lease_name = "reqtap-events",
				 .lease_holder = host,
				 .lease_duration = 15000000000ULL };
	struct identity_map map = { 0 };
	struct events_config config = { .rules = { .map = &map } };
	int first, status;

	gethostname(host, sizeof(host) - 1);
	first = options__parse(&command, argc, argv, &values);
	if (first < 0)
		return OPTIONS_STATUS(first);
	identity_map__init(&map);
	for (unsigned i = 0; i < values.identities.count; i++)
		identity_map__parse(&map, values.identities.items[i]);
	status = find_ground(&config, &values, base, sizeof(base));
	if (!status) {
		secret__guard_process();
		fill(&config, &values);
		status = events__run(&config);
	}
	selector__free((struct selector *)config.rules.selected);
	option_list__clear(&values.identities);
	return status;
}
