// SPDX-License-Identifier: Apache-2.0
// One request alone: its lines in time, a lane for each replica.
import { clock, el, hue, number, oneLine, span } from "./text.js";

const NS = "http://www.w3.org/2000/svg";

function svg(name, attributes) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

const ms = (from, to) => Number(BigInt(to) - BigInt(from)) / 1e6;

function lane(name, records, start, length, onPick) {
  const track = svg("svg", { class: "track", role: "img", "aria-label": `${records.length} lines of ${name}` });
  const x = (record) => `${(length ? (ms(start, record.timestamp) / length) * 98 : 49) + 1}%`;
  track.append(svg("line", { x1: x(records[0]), x2: x(records.at(-1)), y1: "50%", y2: "50%", class: "span" }));
  for (const record of records) {
    const tick = svg("circle", { cx: x(record), cy: "50%", r: record.level === "ERROR" || record.level === "FATAL" ? 5 : 3.5, "data-level": record.level ?? "" });
    const title = svg("title", {});
    title.textContent = `+${span(ms(start, record.timestamp))}  ${oneLine(record.message).slice(0, 200)}`;
    tick.append(title);
    tick.addEventListener("click", () => onPick(record));
    track.append(tick);
  }
  return el("div", { class: "lane" }, el("span", { title: name }, name), track, el("small", {}, number(records.length)));
}

export function showTimeline(root, id, records, on) {
  root.textContent = "";
  const lines = records.filter((record) => record.request_id === id);
  const heading = el("h2", {}, el("b", {}, oneLine(id)));
  heading.style.setProperty("--hue", hue(id));
  const close = el("button", { type: "button", onclick: on.close }, "All requests");
  if (!lines.length) {
    root.append(el("div", { class: "top" }, heading, el("small", {}, "no line of it in this range"), close));
    return;
  }
  const start = lines[0].timestamp, length = ms(start, lines.at(-1).timestamp);
  const lanes = Map.groupBy ? Map.groupBy(lines, (r) => r.replica ?? "—") : lines.reduce((map, r) => {
    const key = r.replica ?? "—";
    return map.set(key, [...(map.get(key) ?? []), r]);
  }, new Map());
  const bad = lines.filter((r) => r.level === "ERROR" || r.level === "FATAL").length;
  root.append(
    el("div", { class: "top" }, heading,
      el("small", {}, `${number(lines.length)} lines · ${span(length)} · ${lanes.size} ${lanes.size === 1 ? "replica" : "replicas"}${bad ? ` · ${number(bad)} ${bad === 1 ? "error" : "errors"}` : ""} · from ${clock(start, true)}`),
      close),
    ...[...lanes].map(([name, own]) => lane(name, own, start, length, on.pick)),
    el("div", { class: "axis" }, ...[0, 0.25, 0.5, 0.75, 1].map((part) => el("span", {}, `+${span(length * part)}`))));
}
