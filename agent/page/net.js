// SPDX-License-Identifier: Apache-2.0
// What the page asks its server. A newer question of the same kind ends an older one.

const running = {};
let askToken = async () => {};

export const onToken = (fn) => { askToken = fn; };

export async function get(kind, parameters = {}) {
  running[kind]?.abort();
  const stop = running[kind] = new AbortController();
  const search = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  for (;;) {
    const answer = await fetch(`api/v1/${kind}?${search}`, { signal: stop.signal });
    if (answer.status === 401) {
      await askToken();
      continue;
    }
    const body = await answer.json();
    if (answer.ok) return body;
    throw Object.assign(new Error(body.error ?? answer.statusText), body);
  }
}

export async function trade(token) {
  return (await fetch("api/v1/session", { method: "POST", body: token })).ok;
}

// Server-sent events; the browser connects again by itself and says where it was.
export function tail(q, onRecords, onState) {
  const source = new EventSource(`api/v1/tail?${new URLSearchParams({ q })}`);
  source.onmessage = (event) => onRecords(JSON.parse(event.data));
  source.onopen = () => onState("open");
  source.onerror = () => onState(source.readyState === EventSource.CLOSED ? "closed" : "again");
  return source;
}
