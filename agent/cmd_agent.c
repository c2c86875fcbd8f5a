/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/agent.h"
#include "agent/capture.h"
#include "agent/command.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/pin.h"
#include "agent/secret.h"

struct values {
	struct option_list globs, sidecars, identities;
	const char *selector, *build_selector;
	const char *node, *node_address, *kube_api, *kubelet, *kube_token_file, *kube_ca_file;
	const char *secret_dir, *pin_dir;
	struct capture_config capture;
	struct keep_config keep;
	uint64_t budget;
	bool kubelet_insecure, unpin;
};

static const char *check_glob(const char *text)
{
	return text[0] == '/' ? NULL : "a path below the cgroup v2 root, such as /kubepods/*/*/*";
}

static const char *check_identity(const char *text)
{
	struct identity_map map = { 0 };

	return identity_map__parse(&map, text)
		       ? "such as model_id=label:example.com/model+env:MODEL_ID"
		       : NULL;
}

#define TEXT(member, option, metavar, words)                                                       \
	{                                                                                          \
		.name = (option), .type = OPTION_TEXT, .offset = offsetof(struct values, member),  \
		.argument = (metavar), .help = (words)                                             \
	}
#define AT(member) .offset = offsetof(struct values, member)

static const struct option_spec specs[] = {
	{ .name = "cgroup",
	  .type = OPTION_LIST,
	  AT(globs),
	  .argument = "GLOB",
	  .check = check_glob,
	  .help = "cgroups to capture, by their path below the v2 root, * within a level; all in "
		  "them goes out (containers that say a model, by --selector and --identity)" },
	TEXT(selector, "selector", "SELECTOR",
	     "label selector of the pods to capture (those that say a model or training job)"),
	{ .name = "sidecar",
	  .type = OPTION_LIST,
	  AT(sidecars),
	  .argument = "NAME",
	  .help = "container that is left out (queue-proxy, istio-proxy)" },
	TEXT(build_selector, "build-selector", "SELECTOR",
	     "label selector of pods that build images: scope reqtap.build (none)"),
	{ .name = "identity",
	  .type = OPTION_LIST,
	  AT(identities),
	  .argument = "RULE",
	  .check = check_identity,
	  .help = "where an attribute comes from, instead of Baseten's own labels: "
		  "model_id=label:KEY+annotation:KEY+env:NAME, first hit wins" },
	TEXT(node, "node", "NAME", "this node's name in its cluster (no Kubernetes)"),
	TEXT(node_address, "node-address", "ADDRESS",
	     "this node's address: its kubelet is asked when the API server does not answer"),
	TEXT(kube_api, "kube-api", "URL", "API server (by KUBERNETES_SERVICE_HOST)"),
	TEXT(kubelet, "kubelet", "URL", "kubelet (https://NODE-ADDRESS:10250)"),
	TEXT(kube_token_file, "kube-token-file", "FILE", "bearer token (the service account's)"),
	TEXT(kube_ca_file, "kube-ca-file", "FILE", "certificates (the service account's)"),
	{ .name = "kubelet-insecure",
	  .type = OPTION_FLAG,
	  AT(kubelet_insecure),
	  .help = "do not check the kubelet's certificate, which most sign themselves" },
	TEXT(keep.state_dir, "state-dir", "DIR",
	     "keep logs there for `reqtap logs`, what is not sent yet, and the connection (in "
	     "memory)"),
	KEEP_OPTIONS(offsetof(struct values, keep)),
	TEXT(secret_dir, "secret-dir", "DIR", "mounted secret with the connection"),
	TEXT(pin_dir, "pin-dir", "DIR",
	     "pin programs and maps there, to be taken over (not pinned)"),
	{ .name = "unpin",
	  .type = OPTION_FLAG,
	  AT(unpin),
	  .help = "take what --pin-dir holds out of the kernel, and end" },
	CAPTURE_OPTIONS(offsetof(struct values, capture)),
	{ .name = "budget",
	  .type = OPTION_BYTES,
	  AT(budget),
	  .argument = "BYTES",
	  .help = "bytes a second that one container may log; the rest is counted (no limit)" },
	{ .name = "verbose",
	  .letter = 'v',
	  .type = OPTION_FLAG,
	  AT(capture.verbose),
	  .help = "each container, and what libbpf says" },
	{ .name = NULL },
};

static const struct command_spec command = {
	.name = "agent",
	.operands = "",
	.summary = "The node daemon: captures containers and exports what they log, until SIGTERM.",
	.notes =
		"Where to: OTEL_EXPORTER_OTLP_ENDPOINT and its kin, --secret-dir, or `reqtap "
		"connection set`.\n"
		"Exit status: 0 after SIGTERM; 2 usage, 77 capture does not work here (see `reqtap "
		"doctor`).",
	.options = specs,
};

static void fill(struct agent_config *config, const struct values *values)
{
	config->probe = (struct probe_config){
		.budget_bytes = values->budget,
		.by_cgroup = true,
		.pin_dir = values->pin_dir,
	};
	capture__fill(&values->capture, &config->probe, &config->pipeline, &config->given);
	config->connection = (struct connection_config){
		.state_dir = values->keep.state_dir,
		.secret_dir = values->secret_dir,
		.use_env = true,
	};
	config->keep = values->keep;
	config->globs = values->globs.items;
	config->sidecars = values->sidecars.items;
}

/* 0, or the exit status. */
static int check(struct values *values)
{
	if (capture__check(&values->capture) || keep__check(&values->keep))
		return EXIT_USAGE;
	if (!values->sidecars.count) {
		values->sidecars.items[0] = "queue-proxy";
		values->sidecars.items[1] = "istio-proxy";
	}
	return 0;
}

/* After the last agent of a node: the kernel goes on capturing otherwise. */
static int unpin(const char *dir)
{
	int err;

	dir = dir ? dir : PIN_DIR;
	err = pin__unpin(dir);
	if (err == -EBUSY)
		log_error("--unpin: an agent uses %s; stop it first", dir);
	else if (err)
		log_error("--unpin: %s: %s", dir, strerror(-err));
	return !dir ? EXIT_USAGE : err ? EXIT_FAILED : EXIT_DONE;
}

/* 0, or the exit status. `ret_kubelet` takes the URL that an address makes. */
static int fill_metadata(struct metadata_config *config, const struct values *values,
			 struct identity_map *map, char *ret_kubelet, size_t size)
{
	const char *address = values->node_address;
	bool v6 = address && strchr(address, ':');
	struct selector *selected = NULL, *build = NULL;

	identity_map__init(map);
	for (unsigned i = 0; i < values->identities.count; i++)
		identity_map__parse(map, values->identities.items[i]);
	if (values->selector && *values->selector)
		selected = selector__parse(values->selector);
	if (values->build_selector && *values->build_selector)
		build = selector__parse(values->build_selector);
	if (address)
		snprintf(ret_kubelet, size, "https://%s%s%s:10250", v6 ? "[" : "", address,
			 v6 ? "]" : "");
	*config = (struct metadata_config){
		.node = values->node,
		.api = values->kube_api,
		.kubelet = values->kubelet ? values->kubelet
			   : address       ? ret_kubelet
					   : NULL,
		.token_file = values->kube_token_file,
		.ca_file = values->kube_ca_file,
		.kubelet_insecure = values->kubelet_insecure,
		.rules = { .map = map, .selected = selected, .build = build },
	};
	if ((!values->selector || !*values->selector || selected) &&
	    (!values->build_selector || !*values->build_selector || build))
		return 0;
	log_error("--%sselector: not a label selector; app=model,tier in (gpu,cpu) would be right",
		  selected || !values->selector ? "build-" : "");
	return EXIT_USAGE;
}

int cmd_agent(int argc, char **argv)
{
	struct values values = { .capture = CAPTURE_DEFAULTS };
	struct agent_config config = { 0 };
	struct identity_map map = { 0 };
	char kubelet[128] = "";
	int first = options__parse(&command, argc, argv, &values), status;

	if (first < 0)
		return OPTIONS_STATUS(first);
	if (values.capture.verbose)
		log__set_level(LOG_LEVEL_DEBUG);
	status = values.unpin ? unpin(values.pin_dir) : check(&values);
	if (values.unpin)
		goto end;
	if (!status)
		status = fill_metadata(&config.metadata, &values, &map, kubelet, sizeof(kubelet));
	if (!status && capture__obstacle())
		status = EXIT_CANNOT;
	if (!status) {
		secret__empty_core();
		secret__guard_process();
		fill(&config, &values);
		status = agent__run(&config);
	}
end:
	selector__free((struct selector *)config.metadata.rules.selected);
	selector__free((struct selector *)config.metadata.rules.build);
	option_list__clear(&values.sidecars);
	option_list__clear(&values.identities);
	option_list__clear(&values.capture.headers);
	option_list__clear(&values.globs);
	return status;
}
