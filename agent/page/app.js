// SPDX-License-Identifier: Apache-2.0
// The page: what is searched stands in the address, so a link shows the same.
import { Chart } from "./chart.js";
import { Completion, quoted, terms } from "./complete.js";
import { showDetail } from "./detail.js";
import { List } from "./list.js";
import { get, onToken, tail, trade } from "./net.js";
import { el, number } from "./text.js";
import { showTimeline } from "./timeline.js";

const ROWS_MAX = 100000;
const PAGE = 1000;
const REQUEST_PAGE = 10000;
const CHART_MS = 3000; // how old the histogram may be in a live tail
const KEYS = [["/", "search"], ["↑ ↓, K J", "another record"], ["Enter", "the record with all its attributes"], ["R", "its request alone"], ["Esc", "close, or back to all requests"], ["L", "live tail"], ["P", "pause"], ["G, Shift G", "oldest, newest"], ["D", "download"], ["C", "copy a link"], ["T", "dark or light"]];

const $ = (id) => document.getElementById(id);
const ui = Object.fromEntries(["scope", "query", "choices", "clear", "level", "range", "live", "pause", "link", "download", "theme", "help", "custom", "since", "until", "problem", "chart", "timeline", "list", "space", "empty", "newest", "detail", "count", "status", "keys", "login", "token", "wrong"].map((id) => [id, $(id)]));

const state = { q: "", scope: "", level: "", range: "1h", since: "", until: "", live: false };
let sources = [], next = null, partial = false, loading = false, stream = null, paused = false, waiting = [], fresh = [], flushing = false, chartDue = Infinity, run = 0;

const list = new List(ui.list, ui.space, {
  request: (id) => narrow("requestId:", id),
  replica: (id) => narrow("replica:", id),
  select: (record, open) => { if (open || !ui.detail.hidden) detail(record); },
  top: () => loadOlder(),
  end: () => count(),
});
const chart = new Chart(ui.chart, (from, to) => {
  Object.assign(state, { range: "custom", since: String(from), until: String(to), live: false });
  apply();
});
const completion = new Completion(ui.query, ui.choices, () => sources, () => {
  state.q = ui.query.value.trim();
  apply();
});

/* ---- what is searched */

const fullQuery = () => [state.q, state.scope, state.level && `level:${state.level}`].filter(Boolean).join(" ");
const words = () => terms(state.q).filter((term) => !term.prefix).map((term) => term.value.toLowerCase());
const request = () => terms(state.q).find((term) => term.prefix === "requestId:")?.value;

function times() {
  if (state.range === "custom") return { since: state.since, until: state.until };
  return { since: state.range };
}

let before = ""; // what was searched when a request was chosen

// One value for a prefix: another one replaces it. A request is shown alone, and whole.
function narrow(prefix, value) {
  if (prefix === "requestId:") {
    if (!request()) before = address();
    Object.assign(state, { q: prefix + quoted(value), scope: "", level: "" });
    apply();
    return;
  }
  const others = terms(state.q).filter((term) => term.prefix !== prefix).map((term) => state.q.slice(term.from, term.to));
  state.q = [...others, prefix + quoted(value)].join(" ");
  apply();
}

function allRequests() {
  const { range, since, until, live } = state;
  readAddress(before);
  Object.assign(state, { range, since, until, live });
  if (request()) state.q = "";
  apply();
}

/* ---- the address */

function readAddress(from = location.search) {
  const given = new URLSearchParams(from);
  for (const key of ["q", "scope", "level", "since", "until"]) state[key] = given.get(key) ?? "";
  state.range = given.get("range") ?? (state.since || state.until ? "custom" : "1h");
  if (![...ui.range.options].some((option) => option.value === state.range)) state.range = "1h";
  state.live = given.get("live") === "1";
}

function address(fixed) {
  const out = new URLSearchParams();
  for (const key of ["q", "scope", "level"]) if (state[key]) out.set(key, state[key]);
  if (state.range === "custom") {
    if (state.since) out.set("since", state.since);
    if (state.until) out.set("until", state.until);
  } else if (state.range !== "1h" || fixed) out.set("range", state.range);
  if (state.live) out.set("live", "1");
  return String(out);
}

/* ---- showing */

function say(error) {
  ui.problem.hidden = !error;
  if (!error) return;
  ui.problem.replaceChildren();
  if (error.at === undefined) {
    ui.problem.append(error.message);
    return;
  }
  // the server counts bytes
  const bytes = new TextEncoder().encode(fullQuery()), text = (a, b) => new TextDecoder().decode(bytes.slice(a, b));
  ui.problem.append(`${error.what}: `, el("code", {}, text(0, error.at), el("mark", {}, text(error.at, error.at + error.length) || " "), text(error.at + error.length)), ` — ${error.right}`);
}

function count() {
  const n = list.records.length;
  const more = next ? (partial ? ", searching older ones as you scroll" : ", older ones as you scroll") : "";
  ui.count.textContent = n ? `${number(n)} ${n === 1 ? "record" : "records"}${more}` : "";
  ui.empty.hidden = n > 0 || loading;
  ui.newest.hidden = !(waiting.length || (!list.atEnd && n));
  ui.newest.textContent = waiting.length ? `${number(waiting.length)} new ↓` : "Newest ↓";
}

function emptyText() {
  ui.empty.replaceChildren(el("b", {}, state.live ? "Waiting for the next line" : "Nothing found"),
    el("span", {}, state.live ? "It shows here as it is written." : "in this range and scope."));
  if (!state.live && state.range !== "")
    ui.empty.append(el("button", { type: "button", onclick: () => { state.range = ""; apply(); } }, "Search all there is"));
}

function detail(record) {
  showDetail(ui.detail, record, {
    narrow,
    copy: (text) => copy(text, "Record copied"),
    close: closeDetail,
  });
}

function closeDetail() {
  ui.detail.hidden = true;
  list.unselect();
  ui.list.focus();
}

let statusTimer;
function status(text, stays) {
  clearTimeout(statusTimer);
  ui.status.textContent = text;
  if (!stays) statusTimer = setTimeout(() => { ui.status.textContent = state.live ? (paused ? "Paused" : "Live") : ""; }, 2500);
}

async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // no clipboard where the page is served without TLS from another host
    const area = el("textarea", { class: "away" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  status(done);
}

function showControls() {
  ui.query.value = state.q;
  ui.clear.hidden = !state.q;
  ui.level.value = state.level;
  ui.range.value = state.range;
  ui.custom.hidden = state.range !== "custom";
  ui.live.setAttribute("aria-pressed", String(state.live));
  ui.pause.hidden = !state.live;
  ui.pause.classList.toggle("on", paused);
  const local = (ns) => { const at = new Date(Number(BigInt(ns) / 1000000n)); return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19); };
  ui.since.value = /^\d{19}$/.test(state.since) ? local(state.since) : "";
  ui.until.value = /^\d{19}$/.test(state.until) ? local(state.until) : "";
  for (const format of ["csv", "jsonl"])
    $(`as-${format}`).href = `api/v1/logs?${new URLSearchParams(Object.entries({ q: fullQuery(), ...times(), format }).filter(([, value]) => value))}`;
  showScope();
}

async function showScopes() {
  showScopes.at = Date.now();
  try {
    ({ sources } = await get("sources"));
  } catch {
    return; // the next search tries again, and says what is wrong
  }
  const last = (a, b) => (BigInt(a.last) < BigInt(b.last) ? 1 : -1);
  const values = (field) => [...new Set([...sources].sort(last).map((source) => source[field]).filter(Boolean))];
  const groups = [["Environments", "environment:", values("environment")], ["Deployments", "deployment:", values("model_version_id")]];
  const now = JSON.stringify(groups.map(([, , names]) => [...names].sort()));
  if (now !== showScopes.shown) {
    showScopes.shown = now; // a menu that is open is not touched for nothing
    ui.scope.replaceChildren(el("option", { value: "" }, "All logs"), ...groups.filter(([, , names]) => names.length).map(([label, prefix, names]) =>
      el("optgroup", { label }, ...names.map((name) => el("option", { value: prefix + quoted(name) }, name)))));
  }
  showScope();
}

function showScope() {
  if (state.scope && ![...ui.scope.options].some((option) => option.value === state.scope)) ui.scope.append(el("option", { value: state.scope }, state.scope));
  ui.scope.value = state.scope;
}

/* ---- searching */

async function load(mine) {
  const limit = request() ? REQUEST_PAGE : PAGE;
  const answer = await get("logs", { q: fullQuery(), ...times(), limit });
  if (mine !== run) return;
  ({ next, partial } = answer);
  const dated = state.range === "7d" || state.range === "" || state.range === "24h" || state.range === "custom";
  list.set(answer.logs, words(), dated);
  showRequest();
}

function showRequest() {
  const id = request();
  ui.timeline.hidden = !id;
  ui.chart.hidden = Boolean(id);
  if (!id) return;
  showTimeline(ui.timeline, id, list.records, {
    close: () => allRequests(),
    pick: (record) => list.select(list.records.indexOf(record), true),
  });
}

async function loadChart(mine) {
  if (request()) return;
  const buckets = Math.max(20, Math.min(120, Math.floor(ui.chart.clientWidth / 10)));
  const began = performance.now();
  chartDue = Infinity;
  const data = await get("histogram", { q: fullQuery(), ...times(), buckets });
  if (mine !== run) return;
  chart.show(data);
  // one that takes the server long is not asked for all the time
  const now = performance.now();
  chartDue = now + Math.max(CHART_MS, 10 * (now - began));
}

async function loadOlder() {
  if (!next || loading || list.records.length >= ROWS_MAX) return;
  const mine = run;
  loading = true;
  try {
    const answer = await get("logs", { q: fullQuery(), ...times(), limit: PAGE, before: next });
    if (mine !== run) return;
    ({ next, partial } = answer);
    if (answer.logs.length) list.prepend(answer.logs);
  } catch (error) {
    if (error.name !== "AbortError") say(error);
  } finally {
    loading = false;
    count();
  }
  // a search that has found too little to scroll goes on by itself
  if (mine === run && next && list.records.length * list.height < 2 * ui.list.clientHeight) loadOlder();
}

function flush() {
  flushing = false;
  if (!fresh.length) return;
  const records = fresh;
  fresh = [];
  if (paused) {
    waiting = waiting.concat(records).slice(-ROWS_MAX);
  } else {
    list.append(records, ROWS_MAX);
    if (request()) showRequest();
  }
  count();
}

function startTail() {
  stream = tail(fullQuery(), (records) => {
    fresh.push(...records);
    if (fresh.length > ROWS_MAX) fresh.splice(0, fresh.length - ROWS_MAX);
    if (flushing) return;
    flushing = true;
    requestAnimationFrame(flush);
  }, (what) => status(what === "open" ? (paused ? "Paused" : "Live") : what === "again" ? "Connecting again…" : "The tail has ended", true));
}

function stopTail() {
  stream?.close();
  stream = null;
  waiting = [];
  fresh = [];
  paused = false;
}

async function apply({ push = true } = {}) {
  const mine = ++run;
  stopTail();
  if (state.live && state.range === "custom") state.range = "1h";
  showControls();
  if (push) {
    const to = `?${address()}`;
    if (to !== location.search && !(to === "?" && !location.search)) history.pushState(null, "", to === "?" ? location.pathname : to);
  }
  loading = true;
  ui.list.setAttribute("aria-busy", "true");
  say(null);
  emptyText();
  try {
    if (state.live) startTail();
    await load(mine);
    loading = false;
    count();
    await loadChart(mine);
    if (Date.now() - showScopes.at > 5000) showScopes();
    if (next && !list.records.length) loadOlder();
  } catch (error) {
    if (error.name === "AbortError" || mine !== run) return;
    stopTail();
    say(error);
    list.set([], [], false);
    chart.show(null);
  } finally {
    if (mine === run) {
      loading = false;
      ui.list.removeAttribute("aria-busy");
      count();
    }
  }
  if (!state.live) status("", true);
}

/* ---- controls */

function setLive(on) {
  state.live = on;
  apply();
}

function setPaused(on) {
  if (!state.live) return;
  paused = on;
  ui.pause.classList.toggle("on", on);
  ui.pause.setAttribute("aria-label", on ? "Go on with the live tail" : "Pause the live tail");
  status(on ? "Paused" : "Live", true);
  if (!on && waiting.length) {
    const records = waiting;
    waiting = [];
    list.append(records, ROWS_MAX);
  }
  count();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* private browsing: for this visit only */ }
  chart.paint();
}

const systemTheme = () => (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");

function escape() {
  if (!ui.detail.hidden) closeDetail();
  else if (ui.download.open) ui.download.open = false;
  else if (request()) allRequests();
}

const shortcuts = {
  "/": () => { ui.query.focus(); ui.query.select(); },
  j: () => list.select(list.selected < 0 ? list.records.length - 1 : list.selected + 1),
  k: () => list.select(list.selected < 0 ? list.records.length - 1 : list.selected - 1),
  ArrowDown: () => shortcuts.j(),
  ArrowUp: () => shortcuts.k(),
  PageDown: () => list.select(list.selected + Math.floor(ui.list.clientHeight / list.height)),
  PageUp: () => list.select((list.selected < 0 ? list.records.length : list.selected) - Math.floor(ui.list.clientHeight / list.height)),
  Home: () => list.select(0),
  End: () => { list.select(list.records.length - 1); list.end(); },
  g: () => list.select(0),
  G: () => shortcuts.End(),
  Enter: () => list.selected >= 0 && list.select(list.selected, true),
  r: () => { const id = list.records[list.selected]?.request_id; if (id) narrow("requestId:", id); },
  l: () => setLive(!state.live),
  p: () => setPaused(!paused),
  d: () => { ui.download.open = !ui.download.open; if (ui.download.open) $("as-csv").focus(); },
  c: () => ui.link.click(),
  t: () => ui.theme.click(),
  "?": () => ui.help.click(),
  Escape: escape,
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input, select, textarea, dialog");
  const onControl = event.target.closest("button, a, summary");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (onControl && (event.key === "Enter" || event.key === " ")) return;
  const act = shortcuts[event.key] ?? shortcuts[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

ui.scope.onchange = () => { state.scope = ui.scope.value; apply(); };
ui.level.onchange = () => { state.level = ui.level.value; apply(); };
ui.range.onchange = () => {
  state.range = ui.range.value;
  if (state.range === "custom") {
    ui.custom.hidden = false;
    ui.since.focus();
  } else apply();
};
ui.custom.onsubmit = (event) => {
  event.preventDefault();
  const ns = (input) => (input.value ? `${new Date(input.value).getTime()}000000` : "");
  Object.assign(state, { range: "custom", since: ns(ui.since), until: ns(ui.until), live: false });
  apply();
};
ui.clear.onclick = () => { state.q = ""; apply(); ui.query.focus(); };
ui.live.onclick = () => setLive(!state.live);
ui.pause.onclick = () => setPaused(!paused);
ui.newest.onclick = () => { if (paused) setPaused(false); list.end(); };
ui.link.onclick = () => copy(`${location.origin}${location.pathname}?${address(true)}`, "Link copied");
ui.theme.onclick = () => setTheme((document.documentElement.dataset.theme ?? systemTheme()) === "dark" ? "light" : "dark");
ui.help.onclick = () => ui.keys.showModal();
ui.download.querySelectorAll("a").forEach((link) => { link.onclick = () => { ui.download.open = false; }; });
setInterval(() => {
  if (state.live && !document.hidden && performance.now() > chartDue) loadChart(run).catch(() => { chartDue = performance.now() + CHART_MS; });
}, 1000);
addEventListener("popstate", () => { readAddress(); apply({ push: false }); });
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => chart.paint());
ui.keys.querySelector("dl").append(...KEYS.flatMap(([key, what]) => [el("dt", {}, key), el("dd", {}, what)]));

onToken(() => new Promise((done) => {
  if (!ui.login.open) ui.login.showModal();
  ui.login.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    if (await trade(ui.token.value)) {
      ui.login.close();
      done();
    } else ui.wrong.hidden = false;
  };
}));
ui.login.addEventListener("cancel", (event) => event.preventDefault());

try {
  const saved = localStorage.getItem("theme");
  if (saved === "dark" || saved === "light") document.documentElement.dataset.theme = saved;
} catch { /* as the system has it */ }
readAddress();
showScopes();
apply({ push: false });
globalThis.reqtap = { list, chart, state }; // for a look from the console
