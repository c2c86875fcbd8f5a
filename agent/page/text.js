// SPDX-License-Identifier: Apache-2.0
// A log line is hostile input. It becomes text nodes only, never markup; and what would act on the
// text around it, or hide in it (controls, direction overrides), is shown as a symbol.

const ODD = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202f\u2060-\u2069\ufeff]/g;

function symbol(c) {
  const code = c.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

export const visible = (text) => text.replace(ODD, symbol);

// In one row a line break is a sign.
export const oneLine = (text) => visible(text).replace(/\r?\n|\r/g, " ⏎ ").replace(/\t/g, "  ");

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

// Text with what was searched marked, into an emptied node.
export function marked(node, text, words) {
  node.textContent = "";
  if (!words.length) {
    node.textContent = text;
    return;
  }
  const lower = text.toLowerCase();
  let at = 0;
  while (at < text.length) {
    let from = -1, length = 0;
    for (const word of words) {
      const found = lower.indexOf(word, at);
      if (found >= 0 && (from < 0 || found < from)) [from, length] = [found, word.length];
    }
    if (from < 0) break;
    node.append(text.slice(at, from), el("mark", {}, text.slice(from, from + length)));
    at = from + length;
  }
  node.append(text.slice(at));
}

// A hue of its own for each id.
export function hue(text) {
  let hash = 2166136261;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  return ((hash >>> 0) * 137) % 360;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(ns, date) {
  const at = new Date(Number(BigInt(ns) / 1000000n));
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return date ? `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${time}` : time;
}

export const number = (n) => n.toLocaleString("en");

export function span(ms) {
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 3600000) return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
  return `${(ms / 3600000).toFixed(1)} h`;
}
