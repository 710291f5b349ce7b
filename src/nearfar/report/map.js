"use strict";
// The map of an embedding: zoom, pan, search, colours, neighbours. It reads the JSON beside each canvas and nothing else; whatever
// comes from data reaches the page as textContent.
(() => {
const NONE = 65535, GRID = 64, BINS = 24, SHOWN = 12, REACH = 9, MARGIN = 24;
const LIGHT = ["#1267a8", "#d9660a", "#1b8a5a", "#b03a7c", "#8a6d00", "#5b4bb5", "#c0392b", "#0f8f9c", "#7a4a2a", "#5d8a1f",
  "#c77ab0", "#3c4f66"];
const DARK = ["#63b3ec", "#f0955a", "#52c795", "#e583b5", "#e0c04a", "#a79bf0", "#f07f73", "#4fd0dc", "#c99a76", "#a9d364",
  "#f2b8dd", "#b4c3d6"];
const LIGHT_RAMP = ["#e2ac3a", "#dd7a3d", "#bd4568", "#7b2f88", "#2b2a72"], DARK_RAMP = ["#5f55d6", "#a653c6", "#e2618f", "#f69c5c", "#fae07a"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const make = (tag, name, text) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
};
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const shorts = (text) => new Uint16Array(bytes(text).buffer);
const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const ramp = (part) => {
  const stops = dark.matches ? DARK_RAMP : LIGHT_RAMP, at = part * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
  const a = rgb(stops[low]), b = rgb(stops[low + 1]);
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * (at - low))).join(",")})`;
};
const number = (value) => Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3)));

class Column {
  // codes [n] as stored; bucket [n] as drawn: a category's place among the most frequent, or a step of the ramp
  constructor(given) {
    Object.assign(this, given);
    this.codes = shorts(given.codes);
    this.bucket = new Uint8Array(this.codes.length);
    this.labels ? this.sort() : this.codes.forEach((code, i) => {
      this.bucket[i] = code === NONE ? BINS : Math.min(BINS - 1, Math.floor(code / (NONE - 1) * BINS));
    });
  }
  sort() {
    const counts = new Array(this.labels.length).fill(0), numbers = this.labels.map((_, i) => i);
    for (const code of this.codes) counts[code]++;
    // Few categories keep their own order (0, 1, 2 ...), of many the most frequent are shown.
    this.ranked = numbers.length <= SHOWN ? numbers : numbers.sort((a, b) => counts[b] - counts[a] || a - b);
    const place = new Array(numbers.length);
    this.ranked.forEach((code, i) => { place[code] = Math.min(i, SHOWN); });
    this.codes.forEach((code, i) => { this.bucket[i] = place[code]; });
    this.counts = new Array(SHOWN + 1).fill(0);
    for (const bucket of this.bucket) this.counts[bucket]++;
  }
  at(part) {
    const value = this.low + part * (this.high - this.low), plain = this.log ? Math.expm1(value) : value;
    return this.whole ? Math.round(plain) : plain;
  }
  value(i) {
    const code = this.codes[i];
    return this.labels ? this.labels[code] : code === NONE ? "unknown" : number(this.at(code / (NONE - 1)));
  }
  colours() {
    const muted = styled("dim");
    if (this.labels) return [...(dark.matches ? DARK : LIGHT), muted];
    return [...Array.from({length: BINS}, (_, i) => ramp(i / (BINS - 1))), muted];
  }
}

class EmbeddingMap {
  constructor(root) {
    const find = (name) => root.querySelector(name);
    const data = JSON.parse(find("script").textContent);
    Object.assign(this, {root, texts: data.texts, n: data.texts.length, k: data.k, low: data.low, high: data.high});
    this.xy = shorts(data.points);
    this.near = shorts(data.neighbours);
    this.cosines = bytes(data.similarities);
    this.columns = data.columns.map((given) => new Column(given));
    this.stage = find(".map-stage");
    this.canvas = find("canvas");
    this.context = this.canvas.getContext("2d");
    this.tip = find(".map-tip");
    this.legend = find(".map-legend");
    this.picked = find(".map-picked");
    this.search = find("input");
    this.count = find("output");
    this.select = find("select");
    this.column = this.columns[data.color];
    this.kept = new Uint8Array(this.n).fill(1);
    this.hidden = new Set();
    this.chosen = this.over = -1;
    this.fingers = new Map();
    this.order = this.shuffled();
    this.index();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.stage);
    this.resize();
    this.recolour();
    this.show();
  }
  shuffled() { // in the order of records the last class would cover all others
    const order = Uint32Array.from({length: this.n}, (_, i) => i);
    for (let i = this.n - 1, seed = 1; i > 0; i--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const j = seed % (i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
  index() { // who lies in which cell: starts [cells + 1] into items [n]
    const cell = (i) => (this.xy[2 * i + 1] >> 10) * GRID + (this.xy[2 * i] >> 10);
    this.starts = new Uint32Array(GRID * GRID + 1);
    this.items = new Uint32Array(this.n);
    this.box = [NONE, NONE, 0, 0];
    for (let i = 0; i < this.n; i++) {
      this.starts[cell(i) + 1]++;
      const [x, y] = [this.xy[2 * i], this.xy[2 * i + 1]], b = this.box;
      this.box = [Math.min(b[0], x), Math.min(b[1], y), Math.max(b[2], x), Math.max(b[3], y)];
    }
    for (let c = 0; c < GRID * GRID; c++) this.starts[c + 1] += this.starts[c];
    const next = this.starts.slice();
    for (let i = 0; i < this.n; i++) this.items[next[cell(i)]++] = i;
  }
  resize() {
    const width = this.stage.clientWidth, height = this.stage.clientHeight, ratio = devicePixelRatio || 1;
    if (!width || (width === this.width && height === this.height && ratio === this.ratio)) return;
    const first = !this.width, middle = first ? null : [(this.width / 2 - this.dx) / this.scale, (this.height / 2 - this.dy) / this.scale];
    Object.assign(this, {width, height, ratio});
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (first) this.fit(); else this.centre(middle[0], middle[1]);
    this.sprites = null;
    this.draw();
  }
  fit() {
    const [a, b, c, d] = this.box;
    this.scale = Math.min((this.width - 2 * MARGIN) / Math.max(c - a, 1), (this.height - 2 * MARGIN) / Math.max(d - b, 1));
    this.whole = this.scale;
    this.centre((a + c) / 2, (b + d) / 2);
  }
  centre(x, y) {
    this.dx = this.width / 2 - x * this.scale;
    this.dy = this.height / 2 - y * this.scale;
    this.draw();
  }
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.whole / 2), this.whole * 400), by = scale / this.scale;
    this.dx = x - (x - this.dx) * by;
    this.dy = y - (y - this.dy) * by;
    this.scale = scale;
    this.draw();
  }
  pan(x, y) {
    this.dx += x;
    this.dy += y;
    this.draw();
  }
  place(i) { return [this.xy[2 * i] * this.scale + this.dx, this.xy[2 * i + 1] * this.scale + this.dy]; }
  radius() {
    const size = this.n > 5000 ? 2 : this.n > 1500 ? 2.6 : this.n > 400 ? 3.4 : 4.5;
    return Math.min(size * (1 + 0.22 * Math.max(0, Math.log2(this.scale / this.whole))), 9);
  }
  hit(x, y, reach) {
    const u = (x - this.dx) / this.scale, v = (y - this.dy) / this.scale, r = reach / this.scale;
    const clip = (value) => Math.min(Math.max(Math.floor(value / 1024), 0), GRID - 1);
    let best = -1, least = r * r;
    for (let row = clip(v - r); row <= clip(v + r); row++) {
      for (let at = this.starts[row * GRID + clip(u - r)]; at < this.starts[row * GRID + clip(u + r) + 1]; at++) {
        const i = this.items[at], far = (this.xy[2 * i] - u) ** 2 + (this.xy[2 * i + 1] - v) ** 2;
        if (this.kept[i] && far <= least) [best, least] = [i, far];
      }
    }
    return best;
  }
  sprite(colour, radius) {
    const size = Math.ceil((radius + 1) * this.ratio) * 2, made = make("canvas");
    made.width = made.height = size;
    const pen = made.getContext("2d");
    pen.fillStyle = colour;
    pen.globalAlpha = 0.82;
    pen.beginPath();
    pen.arc(size / 2, size / 2, radius * this.ratio, 0, 7);
    pen.fill();
    return made;
  }
  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }
  paint() {
    const pen = this.context, radius = this.radius();
    if (!this.sprites || this.sprites.radius !== radius) {
      const colours = this.column ? this.column.colours() : [styled("near")];
      this.sprites = {radius, list: colours.map((colour) => this.sprite(colour, radius)), dim: this.sprite(styled("dim"), radius)};
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const half = this.sprites.dim.width / 2, bucket = this.column && this.column.bucket, edge = half + 1;
    for (const kept of this.filtered ? [0, 1] : [1]) {
      pen.globalAlpha = kept ? 1 : 0.22;
      for (const i of this.order) {
        if (this.kept[i] !== kept) continue;
        const x = (this.xy[2 * i] * this.scale + this.dx) * this.ratio, y = (this.xy[2 * i + 1] * this.scale + this.dy) * this.ratio;
        if (x < -edge || y < -edge || x > this.canvas.width + edge || y > this.canvas.height + edge) continue;
        pen.drawImage(kept ? this.sprites.list[bucket ? bucket[i] : 0] : this.sprites.dim, x - half, y - half);
      }
    }
    pen.globalAlpha = 1;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const ring = (i, size, width) => {
      const [x, y] = this.place(i);
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(x, y, size, 0, 7);
      pen.stroke();
    };
    pen.strokeStyle = styled("ink");
    if (this.chosen >= 0) {
      const [x, y] = this.place(this.chosen);
      pen.globalAlpha = 0.55;
      pen.lineWidth = 1;
      for (const j of this.around(this.chosen)) {
        pen.beginPath();
        pen.moveTo(x, y);
        pen.lineTo(...this.place(j));
        pen.stroke();
        ring(j, radius + 1.5, 1);
      }
      pen.globalAlpha = 1;
      ring(this.chosen, radius + 4, 2.5);
    }
    if (this.over >= 0) ring(this.over, radius + 2.5, 1.8);
    if (this.keys) { // where Enter would pick
      const [x, y] = [this.width / 2, this.height / 2];
      pen.lineWidth = 1;
      pen.beginPath();
      for (const [a, b] of [[-9, -3], [3, 9]]) {
        pen.moveTo(x + a, y); pen.lineTo(x + b, y);
        pen.moveTo(x, y + a); pen.lineTo(x, y + b);
      }
      pen.stroke();
    }
  }
  around(i) { return Array.from(this.near.subarray(i * this.k, (i + 1) * this.k)).filter((j) => j !== NONE); }

  recolour() {
    this.hidden.clear();
    this.sprites = null;
    this.filter();
    this.legend.replaceChildren();
    const column = this.column;
    if (!column) return;
    this.legend.append(make("h3", "", column.name));
    const colours = column.colours();
    if (!column.labels) {
      const bar = make("div", "map-ramp"), ends = make("div", "map-ends");
      bar.style.background = `linear-gradient(to right, ${colours.slice(0, BINS).join(",")})`;
      for (const part of [0, 0.5, 1]) ends.append(make("span", "", number(column.at(part))));
      this.legend.append(bar, ends);
      return;
    }
    const names = column.ranked.slice(0, SHOWN).map((code) => column.labels[code]), rest = column.labels.length - SHOWN;
    if (rest > 0) names.push(rest === 1 ? column.labels[column.ranked[SHOWN]] : `${rest.toLocaleString("en")} others`);
    names.forEach((name, bucket) => {
      const entry = make("button", "map-entry"), swatch = make("i");
      entry.type = "button";
      entry.setAttribute("aria-pressed", "true");
      entry.title = "show or hide";
      swatch.style.background = colours[bucket];
      entry.append(swatch, make("span", "", name), make("small", "", column.counts[bucket].toLocaleString("en")));
      entry.addEventListener("click", () => {
        this.hidden.has(bucket) ? this.hidden.delete(bucket) : this.hidden.add(bucket);
        entry.setAttribute("aria-pressed", String(!this.hidden.has(bucket)));
        this.filter();
      });
      this.legend.append(entry);
    });
  }
  filter() {
    const words = this.search.value.trim().toLowerCase(), column = this.column;
    this.folded = this.folded || this.texts.map((text) => text.toLowerCase());
    let found = 0;
    for (let i = 0; i < this.n; i++) {
      const kept = (!words || this.folded[i].includes(words)) && !(this.hidden.size && this.hidden.has(column.bucket[i]));
      this.kept[i] = kept ? 1 : 0;
      found += this.kept[i];
    }
    this.filtered = found < this.n;
    this.count.textContent = words ? `${found.toLocaleString("en")} of ${this.n.toLocaleString("en")}` : "";
    this.draw();
  }
  pick(i, {look = false, focus = false, tell = true} = {}) {
    this.chosen = i;
    this.tip.hidden = true;
    if (i >= 0 && look) {
      const [x, y] = this.place(i);
      if (x < MARGIN || y < MARGIN || x > this.width - MARGIN || y > this.height - MARGIN) {
        this.centre(this.xy[2 * i], this.xy[2 * i + 1]);
      }
    }
    this.show(focus);
    this.draw();
    if (tell) for (const other of maps) if (other !== this) other.pick(i < 0 ? -1 : other.texts.indexOf(this.texts[i]), {tell: false});
  }
  show(focus = false) {
    this.picked.replaceChildren();
    const i = this.chosen;
    if (i < 0) {
      this.picked.append(make("p", "map-hint", "Click a point to see what lies nearest to it."));
      return;
    }
    const head = make("div", "map-chosen"), close = make("button", "map-close", "\u00d7"), list = make("ol"), values = make("dl");
    const text = make("p", "", this.texts[i]);
    text.tabIndex = -1;
    close.type = "button";
    close.setAttribute("aria-label", "let go of the point");
    close.addEventListener("click", () => this.pick(-1));
    head.append(text, close);
    for (const column of this.columns) values.append(make("dt", "", column.name), make("dd", "", column.value(i)));
    this.around(i).forEach((j, place) => {
      const entry = make("button"), item = make("li"), cosine = this.low + this.cosines[i * this.k + place] / 255 * (this.high - this.low);
      entry.type = "button";
      entry.append(make("small", "", cosine.toFixed(2)), make("span", "", this.texts[j]));
      entry.addEventListener("click", () => this.pick(j, {look: true, focus: true}));
      entry.addEventListener("pointerenter", () => { this.over = j; this.draw(); });
      entry.addEventListener("pointerleave", () => { this.over = -1; this.draw(); });
      item.append(entry);
      list.append(item);
    });
    this.picked.append(head, values, make("h3", "", "nearest, with their cosine"), list);
    if (focus) text.focus({preventScroll: true});
  }
  hover(x, y) {
    const i = x === null ? -1 : this.hit(x, y, REACH);
    if (i === this.over) return;
    this.over = i;
    this.tip.hidden = i < 0;
    this.canvas.classList.toggle("on", i >= 0);
    if (i >= 0) {
      const [px, py] = this.place(i), right = px > this.width / 2, low = py > this.height / 2;
      this.tip.replaceChildren(make("span", "", this.texts[i]));
      if (this.column) this.tip.append(make("small", "", `${this.column.name}: ${this.column.value(i)}`));
      const at = {left: right ? "auto" : `${px + 12}px`, right: right ? `${this.width - px + 12}px` : "auto",
        top: low ? "auto" : `${py + 12}px`, bottom: low ? `${this.height - py + 12}px` : "auto"};
      Object.assign(this.tip.style, at);
    }
    this.draw();
  }
  next() { // the match after the one that is picked
    for (let step = 1; step <= this.n; step++) {
      const i = (this.chosen + step) % this.n;
      if (this.kept[i]) return this.pick(i, {look: true});
    }
  }
  listen() {
    const canvas = this.canvas, on = (target, name, run, options) => target.addEventListener(name, run, options);
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    on(canvas, "wheel", (event) => {
      // Someone who scrolls down the page and comes across the map goes on scrolling.
      if (performance.now() - scrolled < 300) { scrolled = performance.now(); return; }
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * (event.ctrlKey ? 0.01 : 0.0022)), ...place(event));
    }, {passive: false});
    on(canvas, "pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, place(event));
      this.moved = this.fingers.size > 1 ? 99 : 0;
      this.keys = false;
    });
    on(canvas, "pointermove", (event) => {
      const was = this.fingers.get(event.pointerId), now = place(event);
      if (!was) return this.hover(...now);
      const other = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at)[0];
      this.fingers.set(event.pointerId, now);
      this.moved += Math.abs(now[0] - was[0]) + Math.abs(now[1] - was[1]);
      if (!other) {
        if (this.moved > 4) { this.hover(null); this.pan(now[0] - was[0], now[1] - was[1]); }
        return;
      }
      const apart = (at) => Math.max(8, Math.hypot(at[0] - other[0], at[1] - other[1]));
      this.pan((now[0] - was[0]) / 2, (now[1] - was[1]) / 2);
      this.zoom(apart(now) / apart(was), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    });
    const up = (event) => {
      const there = this.fingers.delete(event.pointerId);
      if (there && event.type === "pointerup" && this.moved <= 4) this.pick(this.hit(...place(event), event.pointerType === "touch" ? 18 : REACH));
    };
    on(canvas, "pointerup", up);
    on(canvas, "pointercancel", up);
    on(canvas, "pointerleave", () => this.hover(null));
    on(canvas, "dblclick", (event) => this.zoom(2, ...place(event)));
    on(canvas, "blur", () => { this.keys = false; this.draw(); });
    const actions = {
      ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0), ArrowUp: () => this.pan(0, 60), ArrowDown: () => this.pan(0, -60),
      "+": () => this.zoom(1.4), "=": () => this.zoom(1.4), "-": () => this.zoom(1 / 1.4), "0": () => this.fit(),
      Enter: () => this.pick(this.hit(this.width / 2, this.height / 2, Math.max(this.width, this.height))),
      Escape: () => this.pick(-1), "/": () => this.search.focus(), n: () => this.next(),
    };
    on(canvas, "keydown", (event) => {
      const action = event.ctrlKey || event.metaKey || event.altKey ? null : actions[event.key];
      if (!action) return;
      event.preventDefault();
      this.keys = true;
      action();
      this.draw();
    });
    on(this.search, "input", () => this.filter());
    on(this.search, "keydown", (event) => { if (event.key === "Enter") this.next(); });
    on(this.select, "change", () => {
      this.column = this.columns[Number(this.select.value)];
      this.recolour();
    });
    const buttons = {in: () => this.zoom(1.6), out: () => this.zoom(1 / 1.6), fit: () => this.fit()};
    for (const button of this.root.querySelectorAll("[data-do]")) on(button, "click", buttons[button.dataset.do]);
    on(dark, "change", () => this.recolour());
  }
}

let scrolled = -1000;
addEventListener("wheel", (event) => { if (!event.target.closest || !event.target.closest("canvas")) scrolled = performance.now(); },
  {passive: true});
const maps = [];
for (const root of document.querySelectorAll(".map")) maps.push(new EmbeddingMap(root));
})();
