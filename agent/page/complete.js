// SPDX-License-Identifier: Apache-2.0
// Completion in the search bar: prefixes, and the values that history knows for them.
import { el } from "./text.js";

const PREFIXES = [
  ["requestId:", "one request's lines"], ["replica:", "one replica"], ["level:", "that level and above"],
  ["environment:", "all deployments active there"], ["deployment:", "one deployment"], ["model:", "one model"],
];
const FIELDS = { "replica:": "replica", "environment:": "environment", "deployment:": "model_version_id", "model:": "model_id" };
const SHOWN = 12;

export const quoted = (value) => (/[\s"\\]/.test(value) || !value ? `"${value.replace(/["\\]/g, "\\$&")}"` : value);

// The terms of a query, as the server reads them: {prefix, value, from, to}.
export function terms(text) {
  const found = [];
  const pattern = /([A-Za-z]+:)?("(?:[^"\\]|\\.)*"?|\S*)/y;
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at])) {
      at++;
      continue;
    }
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match || !match[0]) break;
    const known = PREFIXES.find(([prefix]) => prefix.toLowerCase() === (match[1] ?? "").toLowerCase())?.[0];
    const raw = known ? match[2] : match[0];
    const value = raw.startsWith('"') ? raw.slice(1).replace(/"$/, "").replace(/\\(["\\])/g, "$1") : raw;
    found.push({ prefix: known ?? "", value, from: at, to: at + match[0].length });
    at += match[0].length;
  }
  return found;
}

export class Completion {
  constructor(input, list, sources, onSubmit) {
    Object.assign(this, { input, list, sources, onSubmit, choices: [], at: -1 });
    input.addEventListener("input", () => this.offer());
    input.addEventListener("focus", () => this.offer());
    input.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    input.addEventListener("keydown", (event) => this.key(event));
  }

  // The term that the caret is in.
  current() {
    const caret = this.input.selectionStart;
    const from = this.input.value.slice(0, caret).search(/\S*$/);
    return { from, caret, text: this.input.value.slice(from, caret) };
  }

  find(text) {
    const prefix = PREFIXES.find(([name]) => text.toLowerCase().startsWith(name.toLowerCase()))?.[0];
    if (!prefix)
      return PREFIXES.filter(([name]) => name.toLowerCase().startsWith(text.toLowerCase())).map(([name, what]) => ({ text: name, what, more: true }));
    const part = text.slice(prefix.length).replace(/^"/, "").toLowerCase();
    let values = [];
    if (prefix === "level:") values = ["debug", "info", "warn", "error", "fatal"];
    else if (FIELDS[prefix]) values = [...new Set(this.sources().map((source) => source[FIELDS[prefix]]).filter(Boolean))];
    return values.filter((value) => value.toLowerCase().includes(part) && value.toLowerCase() !== part).slice(0, SHOWN).map((value) => ({ text: prefix + quoted(value), what: "" }));
  }

  offer() {
    if (document.activeElement !== this.input) return;
    this.choices = this.find(this.current().text);
    this.at = -1;
    this.draw();
  }

  draw() {
    this.list.hidden = !this.choices.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.list.replaceChildren(...this.choices.map((choice, i) =>
      el("li", { role: "option", id: `choice${i}`, "aria-selected": String(i === this.at), onpointerdown: (event) => { event.preventDefault(); this.take(i); } },
        el("b", {}, choice.text), el("small", {}, choice.what))));
    if (this.at >= 0) this.input.setAttribute("aria-activedescendant", `choice${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  take(i) {
    const { from, caret } = this.current();
    const choice = this.choices[i];
    this.input.setRangeText(choice.text + (choice.more ? "" : " "), from, caret, "end");
    if (choice.more) this.offer();
    else {
      this.close();
      this.onSubmit();
    }
  }

  close() {
    this.choices = [];
    this.draw();
  }

  key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!this.choices.length) return this.offer();
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.at = (this.at + step + this.choices.length + (this.at < 0 && step < 0 ? 1 : 0)) % this.choices.length;
      this.draw();
    } else if (event.key === "Tab" && !event.shiftKey && this.choices.length && this.current().text) {
      event.preventDefault();
      this.take(Math.max(0, this.at));
    } else if (event.key === "Enter") {
      if (this.at >= 0) this.take(this.at);
      else {
        this.close();
        this.onSubmit();
      }
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (this.choices.length) this.close();
      else this.input.blur();
    }
  }
}
