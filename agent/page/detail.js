// SPDX-License-Identifier: Apache-2.0
// A record with all its attributes.
import { clock, el, visible } from "./text.js";

const FILTERS = { request_id: "requestId:", replica: "replica:", environment: "environment:", model_version_id: "deployment:", model_id: "model:" };
const FIRST = ["level", "replica", "request_id", "evidence", "environment", "model_version_id", "model_id", "chainlet_id", "training_job_id", "stream", "pid", "tid", "trace_id", "span_id", "scope", "missing"];
const HIDDEN = new Set(["message", "exc_info", "body", "timestamp", "time", "observed_time", "seq", "severity_text", "severity_number"]);

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

const block = (title, text) => el("section", {}, el("h3", {}, title), el("pre", {}, visible(text)));

export function showDetail(root, record, on) {
  const names = [...FIRST, ...Object.keys(record).filter((name) => !FIRST.includes(name) && !HIDDEN.has(name))];
  const list = el("dl");
  for (const name of names) {
    if (record[name] === undefined) continue;
    const value = visible(String(record[name]));
    list.append(el("dt", {}, name), el("dd", {}, FILTERS[name]
      ? el("button", { type: "button", class: "filter", title: `Narrow to ${FILTERS[name]}…`, onclick: () => on.narrow(FILTERS[name], String(record[name])) }, value)
      : value));
  }
  root.dataset.level = record.level ?? "";
  root.replaceChildren(
    el("header", {},
      el("h2", {}, clock(record.timestamp, true)),
      el("button", { type: "button", title: "Copy as JSON", onclick: () => on.copy(JSON.stringify(record, null, 2)) }, "Copy"),
      el("button", { type: "button", "aria-label": "Close (Escape)", onclick: on.close }, "×")),
    block("message", record.message),
    ...(record.exc_info ? [block("exc_info", record.exc_info)] : []),
    el("section", {}, el("h3", {}, "attributes"), list),
    ...(record.body ? [block("body, the line as it was written", pretty(record.body))] : []),
    el("section", { class: "small" }, el("p", {}, `timestamp ${record.timestamp} · record ${record.seq}`)));
  root.hidden = false;
}
