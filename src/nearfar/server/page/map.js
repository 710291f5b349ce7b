// The map: points of a sample of the corpus, the hits lit up on the same axes; zoom, move, hover, click.
import {find, make} from "./dom.js";

const LIGHT = ["#1267a8", "#d9660a", "#1b8a5a", "#b03a7c", "#8a6d00", "#5b4bb5", "#c0392b", "#0f8f9c", "#7a4a2a", "#5d8a1f", "#c77ab0", "#3c4f66"];
const DARK = ["#63b3ec", "#f0955a", "#52c795", "#e583b5", "#e0c04a", "#a79bf0", "#f07f73", "#4fd0dc", "#c99a76", "#a9d364", "#f2b8dd", "#b4c3d6"];
const MARGIN = 26, REACH = 9, NUMBERED = 10;
const dark = matchMedia("(prefers-color-scheme: dark)");
const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class CorpusMap {
  constructor(pick) {
    this.canvas = find("#map");
    this.stage = this.canvas.parentElement;
    this.tip = find("#tip");
    this.pick = pick;
    this.hits = [];
    this.marked = this.over = null;
    this.fingers = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.stage);
    dark.addEventListener("change", () => { this.legend(); this.draw(); });
  }
  show(data) {
    this.data = data;
    const select = find("#colour"), names = Object.keys(data.colours);
    select.replaceChildren(make("option", "", "none"), ...names.map((name) => make("option", "", name)));
    select.value = this.column = names[0] ?? "none";
    find("#colour-label").hidden = names.length === 0;
    const sampled = data.points.length, share = Math.round(100 * data.share);
    find("#map-note").textContent = sampled < data.rows
      ? `${sampled.toLocaleString("en")} of ${data.rows.toLocaleString("en")} records; the two axes hold ${share} % of what differs.`
      : `${sampled.toLocaleString("en")} records; the two axes hold ${share} % of what differs.`;
    this.legend();
    this.fit();
  }
  // hits: [{at, key, title, rank}], best first
  light(hits) {
    this.hits = hits;
    this.draw();
  }
  mark(key) {
    if (this.marked === key) return;
    this.marked = key;
    this.draw();
  }
  legend() {
    const place = find("#legend"), colours = this.data?.colours[this.column], palette = dark.matches ? DARK : LIGHT;
    place.replaceChildren(...(colours ? colours.values : []).map((value, i) => {
      const swatch = make("i");
      swatch.style.setProperty("background", palette[i]);
      return make("span", "", undefined, swatch, value);
    }));
  }
  resize() {
    const {clientWidth: width, clientHeight: height} = this.stage, ratio = devicePixelRatio || 1;
    if (!width || (width === this.width && height === this.height && ratio === this.ratio)) return;
    Object.assign(this, {width, height, ratio});
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.fit();
  }
  fit() {
    if (!this.data || !this.width) return;
    const xs = this.data.points.map((p) => p[0]), ys = this.data.points.map((p) => p[1]), grid = this.data.grid;
    const [left, right] = xs.length ? [Math.min(...xs), Math.max(...xs)] : [0, grid], [low, high] = ys.length ? [Math.min(...ys), Math.max(...ys)] : [0, grid];
    this.whole = this.scale = Math.min((this.width - 2 * MARGIN) / Math.max(right - left, 1), (this.height - 2 * MARGIN) / Math.max(high - low, 1));
    this.dx = this.width / 2 - (left + right) / 2 * this.scale;
    this.dy = this.height / 2 + (low + high) / 2 * this.scale;
    this.draw();
  }
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.whole / 2), this.whole * 100), by = scale / this.scale;
    this.dx = x - (x - this.dx) * by;
    this.dy = y - (y - this.dy) * by;
    this.scale = scale;
    this.draw();
  }
  place([x, y]) { return [x * this.scale + this.dx, this.dy - y * this.scale]; }
  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }
  paint() {
    if (!this.data || !this.width) return;
    const pen = this.canvas.getContext("2d"), palette = dark.matches ? DARK : LIGHT, codes = this.data.colours[this.column]?.codes;
    const lit = this.hits.length > 0, size = this.data.points.length > 1500 ? 1.7 : 2.6, dim = styled("dim");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.globalAlpha = lit ? 0.45 : 0.8;
    this.data.points.forEach((point, i) => {
      const [x, y] = this.place(point);
      if (x < -4 || y < -4 || x > this.width + 4 || y > this.height + 4) return;
      pen.fillStyle = codes && codes[i] >= 0 ? palette[codes[i]] : dim;
      pen.fillRect(x - size, y - size, 2 * size, 2 * size);
    });
    pen.globalAlpha = 1;
    for (const hit of [...this.hits].reverse()) this.paintHit(pen, hit);
    if (this.over !== null && this.over.at) this.ring(pen, this.over.at, 7);
  }
  paintHit(pen, hit) {
    const [x, y] = this.place(hit.at), marked = hit.key === this.marked, radius = marked ? 10 : hit.rank <= NUMBERED ? 8 : 4.5;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.fillStyle = styled(marked ? "far" : "near");
    pen.fill();
    pen.lineWidth = 1.5;
    pen.strokeStyle = styled("card");
    pen.stroke();
    if (hit.rank > NUMBERED && !marked) return;
    pen.fillStyle = styled("card");
    pen.font = "600 10px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(String(hit.rank), x, y + 0.5);
  }
  ring(pen, at, radius) {
    const [x, y] = this.place(at);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.lineWidth = 1.8;
    pen.strokeStyle = styled("ink");
    pen.stroke();
  }
  nearest(x, y) {
    let best = null, least = REACH * REACH;
    const near = (at, made) => {
      const [u, v] = this.place(at), far = (u - x) ** 2 + (v - y) ** 2;
      if (far < least) [best, least] = [made(), far];
    };
    for (const hit of this.hits) near(hit.at, () => ({at: hit.at, key: hit.key, label: `${hit.rank}. ${hit.title}`}));
    if (best) return best;
    this.data.points.forEach((at, i) => near(at, () => ({at, key: this.data.keys[i], label: this.data.labels[i]})));
    return best;
  }
  hover(event) {
    const {left, top} = this.canvas.getBoundingClientRect(), x = event.clientX - left, y = event.clientY - top;
    const found = this.data && event.buttons === 0 ? this.nearest(x, y) : null;
    this.canvas.classList.toggle("on", found !== null);
    this.tip.hidden = found === null;
    if (found) {
      this.tip.textContent = found.label;
      const [u, v] = this.place(found.at);
      this.tip.style.setProperty("left", `${Math.min(Math.max(u - this.tip.offsetWidth / 2, 4), this.width - this.tip.offsetWidth - 4)}px`);
      this.tip.style.setProperty("top", `${v > 60 ? v - this.tip.offsetHeight - 12 : v + 14}px`);
    }
    if (found?.key !== this.over?.key) {
      this.over = found;
      this.draw();
    }
  }
  leave() {
    this.over = null;
    this.tip.hidden = true;
    this.draw();
  }
  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const {left, top} = canvas.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 300), event.clientX - left, event.clientY - top);
    }, {passive: false});
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
      this.moved = this.fingers.size > 1 ? 99 : 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.fingers.get(event.pointerId);
      if (!before) return this.hover(event);
      const now = [event.clientX, event.clientY];
      if (this.fingers.size === 2) this.pinch(event.pointerId, before, now);
      else [this.dx, this.dy] = [this.dx + now[0] - before[0], this.dy + now[1] - before[1]];
      this.moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
      this.fingers.set(event.pointerId, now);
      this.draw();
    });
    const up = (event) => {
      const clicked = this.fingers.delete(event.pointerId) && event.type === "pointerup" && this.moved < 5 && this.data;
      if (!clicked) return;
      const {left, top} = canvas.getBoundingClientRect(), found = this.nearest(event.clientX - left, event.clientY - top);
      if (found) this.pick(found.key);
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => this.leave());
    find("#fit").addEventListener("click", () => this.fit());
    find("#colour").addEventListener("change", (event) => {
      this.column = event.target.value;
      this.legend();
      this.draw();
    });
  }
  pinch(moving, before, now) {
    const [, other] = [...this.fingers].find(([id]) => id !== moving), {left, top} = this.canvas.getBoundingClientRect();
    const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
    this.zoom(apart(now) / Math.max(apart(before), 1), (now[0] + other[0]) / 2 - left, (now[1] + other[1]) / 2 - top);
  }
}
