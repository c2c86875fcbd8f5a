// SPDX-License-Identifier: Apache-2.0
// The histogram: records over time, stacked by level. Drag to narrow the time.
import { clock, number } from "./text.js";

const LEVELS = ["", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const COLOURS = ["--none", "--debug", "--info", "--warn", "--error", "--fatal"];
const ORDER = [2, 1, 0, 3, 4, 5]; // from the ground up: what is common lies below

export class Chart {
  constructor(root, onRange) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.tip = root.querySelector("output");
    this.onRange = onRange;
    root.addEventListener("pointermove", (event) => this.hover(event));
    root.addEventListener("pointerleave", () => this.leave());
    root.addEventListener("pointerdown", (event) => {
      this.from = this.bucketAt(event);
      root.setPointerCapture(event.pointerId);
    });
    root.addEventListener("pointerup", (event) => this.drop(event));
    new ResizeObserver(() => this.paint()).observe(root);
  }

  show(data) {
    this.data = data;
    this.max = data ? Math.max(1, ...data.counts.map((levels) => levels.reduce((a, b) => a + b))) : 1;
    const ends = data ? [this.time(0), this.time(data.counts.length)] : [];
    const dated = data && ends[1] - ends[0] > 12n * 3600n * 1000000000n;
    this.root.querySelectorAll("small").forEach((label, i) => {
      label.textContent = data ? clock(ends[i], dated).slice(0, dated ? 16 : 8) : "";
    });
    this.paint();
  }

  bucketAt(event) {
    if (!this.data) return -1;
    const box = this.canvas.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) / box.width) * this.data.counts.length);
    return Math.max(0, Math.min(this.data.counts.length - 1, at));
  }

  time(bucket) {
    return BigInt(this.data.since) + BigInt(bucket) * BigInt(this.data.bucket);
  }

  hover(event) {
    if (!this.data) return;
    this.at = this.bucketAt(event);
    const parts = this.data.counts[this.at].map((n, i) => (n ? `${number(n)} ${LEVELS[i] || "no level"}` : "")).filter(Boolean);
    this.tip.hidden = false;
    this.tip.textContent = `${clock(this.time(this.at), true).slice(0, 19)}  ${parts.reverse().join(" · ") || "none"}`;
    const box = this.root.getBoundingClientRect();
    const x = Math.min(Math.max(event.clientX - box.left, this.tip.offsetWidth / 2), box.width - this.tip.offsetWidth / 2);
    this.tip.style.left = `${x}px`;
    this.paint();
  }

  leave() {
    this.at = -1;
    this.tip.hidden = true;
    this.paint();
  }

  drop(event) {
    const to = this.bucketAt(event), from = this.from;
    this.from = -1;
    if (from >= 0 && to >= 0) this.onRange(this.time(Math.min(from, to)), this.time(Math.max(from, to) + 1));
  }

  paint() {
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    if (!this.data) return;
    const style = getComputedStyle(this.root);
    const colours = COLOURS.map((name) => style.getPropertyValue(name));
    const step = width / this.data.counts.length;
    const [low, high] = [this.from ?? -1, this.at ?? -1].sort((a, b) => a - b);
    this.data.counts.forEach((levels, i) => {
      let y = height;
      if (i === this.at || (this.from >= 0 && i >= low && i <= high)) {
        pen.fillStyle = style.getPropertyValue("--hover");
        pen.fillRect(i * step, 0, step, height);
      }
      for (const level of ORDER) {
        if (!levels[level]) continue;
        const tall = Math.max(level > 2 ? 2 : 1, (levels[level] / this.max) * (height - 4));
        y -= tall;
        pen.fillStyle = colours[level];
        pen.fillRect(i * step + 0.5, y, Math.max(1, step - 1), tall);
      }
    });
  }
}
