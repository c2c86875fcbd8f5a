// SPDX-License-Identifier: Apache-2.0
// A virtual list: as many rows in the document as the window shows, however many there are. Rows are
// of one height, which the style sheet sets (--row).
import { clock, el, hue, marked, oneLine } from "./text.js";

const SPARE = 6; // rows beyond either edge
const SHOWN = 600; // letters of a message that are put into its row: more than a wide screen shows
const STICKY = 2; // rows from the end that still count as the end

function makeRow() {
  const row = el("div", { class: "row", role: "option" });
  for (const name of ["time", "level", "replica", "request", "message"]) row.append(el("span", { class: name }));
  return row;
}

export class List {
  constructor(root, space, on) {
    Object.assign(this, { root, space, on, records: [], rows: [], selected: -1, words: [], dated: false });
    this.gone = 0; // records that went from the start, less those that came there
    this.start = 0; // the first row's record, counted so
    this.atEnd = true;
    this.drawing = false;
    root.addEventListener("scroll", () => this.scrolled(), { passive: true });
    root.addEventListener("click", (event) => this.clicked(event));
    new ResizeObserver(() => this.resized()).observe(root);
    this.resized();
  }

  resized() {
    this.height = parseFloat(getComputedStyle(this.root).getPropertyValue("--row")) || 26;
    this.draw();
  }

  scrolled() {
    const left = this.space.offsetHeight - this.root.clientHeight - this.root.scrollTop;
    const atEnd = left < STICKY * this.height;
    if (atEnd !== this.atEnd) {
      this.atEnd = atEnd;
      this.on.end(atEnd);
    }
    if (this.root.scrollTop < 20 * this.height) this.on.top();
    this.draw();
  }

  draw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.paint();
    });
  }

  paint() {
    const total = this.records.length * this.height;
    if (this.total !== total) {
      this.total = total;
      this.space.style.height = `${total}px`;
    }
    if (this.stick) {
      this.stick = false;
      this.root.scrollTop = total;
    }
    const first = Math.max(0, Math.floor(this.root.scrollTop / this.height) - SPARE);
    const count = Math.min(this.records.length - first, Math.ceil(this.root.clientHeight / this.height) + 2 * SPARE);
    while (this.rows.length < count) {
      this.rows.push(makeRow());
      this.space.append(this.rows.at(-1));
    }
    this.turn(first + this.gone);
    this.rows.forEach((row, i) => {
      row.hidden = i >= count;
      if (i < count) this.fill(row, first + i);
    });
  }

  // A record keeps its row while it is in view, also when others come or go at the start: only what is new is written.
  // In the document rows stay in order, for who selects several and for who has them read out.
  turn(start) {
    const by = start - this.start;
    this.start = start;
    if (!by || Math.abs(by) >= this.rows.length) return;
    const moved = by > 0 ? this.rows.splice(0, by) : this.rows.splice(by);
    if (by > 0) {
      this.rows.push(...moved);
      this.space.append(...moved);
    } else {
      this.rows.unshift(...moved);
      this.space.prepend(...moved);
    }
  }

  fill(row, index) {
    const record = this.records[index];
    const selected = index === this.selected;
    if (row.index !== index || row.selected !== selected) {
      Object.assign(row, { index, selected });
      row.style.transform = `translateY(${index * this.height}px)`;
      row.classList.toggle("selected", selected);
      row.setAttribute("aria-selected", selected);
    }
    const state = `${record.seq} ${this.words.join(" ")} ${this.dated}`;
    if (row.state === state) return;
    row.state = state;
    row.id = `r${record.seq}`;
    row.dataset.level = record.missing ? "MISSING" : record.level ?? "";
    const [time, level, replica, request, message] = row.children;
    time.textContent = clock(record.timestamp, this.dated);
    level.textContent = record.level ?? "";
    replica.textContent = oneLine(record.replica ?? "");
    request.textContent = oneLine(record.request_id ?? "");
    request.style.setProperty("--hue", record.request_id ? hue(record.request_id) : 0);
    const text = record.exc_info && !record.message.includes("\n") ? `${record.message} ⏎ ${record.exc_info}` : record.message;
    marked(message, oneLine(text.length > SHOWN ? text.slice(0, SHOWN) : text), this.words);
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row || String(getSelection())) return;
    const index = row.index;
    const record = this.records[index];
    if (event.target.className === "request" && record.request_id) this.on.request(record.request_id);
    else if (event.target.className === "replica" && record.replica) this.on.replica(record.replica);
    else this.select(index, true);
  }

  select(index, open = false) {
    if (!this.records.length) return;
    this.selected = Math.max(0, Math.min(this.records.length - 1, index));
    const top = this.selected * this.height;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + this.height > this.root.scrollTop + this.root.clientHeight)
      this.root.scrollTop = top + this.height - this.root.clientHeight;
    this.root.setAttribute("aria-activedescendant", `r${this.records[this.selected].seq}`);
    this.on.select(this.records[this.selected], open);
    this.draw();
  }

  unselect() {
    this.selected = -1;
    this.draw();
  }

  set(records, words, dated) {
    Object.assign(this, { records, words, dated, selected: -1, atEnd: true, stick: true });
    this.on.end(true);
    this.draw();
  }

  // At the end; the oldest go when there are more than `limit`.
  append(records, limit) {
    for (const record of records) this.records.push(record);
    const gone = Math.max(0, this.records.length - limit);
    if (gone) {
      this.records.splice(0, gone);
      this.gone += gone;
      this.selected = this.selected >= gone ? this.selected - gone : -1;
      if (!this.atEnd) this.root.scrollTop -= gone * this.height;
    }
    if (this.atEnd) this.stick = true;
    this.draw();
  }

  // At the start; what is in view stays there.
  prepend(records) {
    this.records = records.concat(this.records);
    this.gone -= records.length;
    if (this.selected >= 0) this.selected += records.length;
    this.space.style.height = `${this.records.length * this.height}px`;
    this.root.scrollTop += records.length * this.height;
    this.draw();
  }

  end() {
    this.atEnd = true;
    this.stick = true;
    this.on.end(true);
    this.draw();
  }
}
