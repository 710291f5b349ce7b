// One hit and its explanation, as elements.
import {button, make, number, shortPlace} from "./dom.js";

const STRONGEST = 45; // per cent of colour behind the piece that counts most

const words = (query) => [...new Set((query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).filter((word) => word.length > 1))];

// A text with the words of the query marked, also where only the beginning of a word is typed yet.
const marked = (text, query) => {
  const made = make("span"), sought = words(query);
  if (!sought.length) { made.textContent = text; return made; }
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${sought.sort((a, b) => b.length - a.length).join("|")})`, "giu");
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    made.append(text.slice(from, match.index), make("mark", "", match[0]));
    from = match.index + match[0].length;
  }
  made.append(text.slice(from));
  return made;
};

const meter = (name, value, part, told) => {
  const bar = make("i"), box = make("span", `meter ${name}`, undefined, make("b", "", value), make("span", "rail", undefined, bar), make("small", "", name));
  bar.style.setProperty("width", `${Math.round(100 * Math.min(Math.max(part, 0), 1))}%`);
  box.title = told;
  return box;
};

// Scores of one hit: bars for the cosine and for BM25, which has no upper end and is drawn beside the best of the list.
const meters = (hit, best) => {
  const box = make("div", "meters");
  if (hit.cosine !== null) box.append(meter("near", number(hit.cosine, 2), hit.cosine, `cosine ${number(hit.cosine)}, rank ${hit.near_rank} among the nearest`));
  if (hit.words !== null) box.append(meter("words", number(hit.words, 1), hit.words / Math.max(best, 1e-9), `BM25 ${number(hit.words)}, rank ${hit.words_rank} among the words`));
  return box;
};

export const hitElement = (hit, rank, {query, best, twin, act}) => {
  const title = make("h3", "", undefined, make("span", "rank", String(rank)), marked(hit.title || (hit.place ? "" : hit.snippet.slice(0, 80)), query));
  const item = make("li", "hit"), head = make("div", "head", undefined, title, meters(hit, best)), chips = make("div", "chips");
  item.tabIndex = rank === 1 ? 0 : -1;
  item.dataset.key = hit.key;
  if (hit.place) {
    const place = button("place", shortPlace(hit.place), () => act.copy(hit.place, place), `copy ${hit.place}`);
    place.title = `${hit.place}\nclick to copy`;
    title.append(place);
  }
  for (const [name, value] of Object.entries(hit.fields)) {
    const chip = button("chip", "", () => act.filter(`${name}=${value}`), `only ${name} ${value}`);
    chip.append(make("small", "", name), ` ${value}`);
    chips.append(chip);
  }
  const why = button("act why", "why", () => act.open(hit.key), "what made it near"), like = button("act", "more like this", () => act.like(hit));
  why.setAttribute("aria-expanded", "false");
  const foot = make("div", "foot", undefined, why, like, chips);
  item.append(head);
  if (hit.snippet) item.append(make("p", "snippet", undefined, marked(hit.snippet, query)));
  if (twin) item.append(make("p", `twin ${twin.kind}`, twin.text));
  item.append(foot);
  item.addEventListener("pointerenter", () => act.mark(hit.key));
  item.addEventListener("pointerleave", () => act.mark(null));
  item.addEventListener("focus", () => act.mark(hit.key));
  return item;
};

// A text whose pieces are shaded by what they add to the cosine. Places are in characters, which are not always one unit of JavaScript's.
const shaded = (text, pieces, sharedWords) => {
  const letters = Array.from(text.replaceAll("\u001f", "\n")), most = Math.max(...pieces.map((piece) => Math.abs(piece[2])), 1e-9), made = make("div", "shaded");
  let from = 0;
  for (const [start, end, value] of pieces) {
    made.append(letters.slice(from, start).join(""));
    const piece = make("span", value >= 0 ? "piece to" : "piece away", undefined, underlined(letters.slice(start, end).join(""), sharedWords));
    piece.style.setProperty("--part", `${Math.round(STRONGEST * Math.abs(value) / most)}%`);
    piece.title = `${value >= 0 ? "+" : "\u2212"}${Math.abs(value).toFixed(3)} of the cosine`;
    made.append(piece);
    from = end;
  }
  made.append(letters.slice(from).join(""));
  return made;
};

const underlined = (text, sharedWords) => {
  const made = make("span");
  for (const part of text.split(/([\p{L}\p{N}]+)/u)) made.append(sharedWords.has(part.toLowerCase()) ? make("u", "", part) : part);
  return made;
};

const line = (name, value) => [make("dt", "", name), make("dd", "", value)];

export const explanationElement = (told, hit, mode) => {
  const facts = make("dl", "scores"), sharedWords = new Set(told.shared);
  facts.append(...line("near", hit.cosine === null ? `cosine ${number(told.cosine)}, too far down to be ranked` : `cosine ${number(hit.cosine)}, rank ${hit.near_rank} among the nearest`));
  if (mode !== "near") {
    facts.append(...line("words", hit.words === null ? "it is not among the best by words" : `BM25 ${number(hit.words)}, rank ${hit.words_rank} among those that hold the words`));
  }
  if (mode === "hybrid") facts.append(...line("both", `${hit.score.toFixed(5)}: what the two ranks are worth together`));
  facts.append(...line("shared", told.shared.length ? told.shared.join(", ") : "no word: it is near by meaning alone"));
  const legend = make("p", "note legend", undefined, make("span", "piece to full", "brings it nearer"), " ", make("span", "piece away full", "takes it away"), " ", make("u", "", "shared"), " \u2013 the cosine without a piece, against the cosine with it");
  return make("div", "explained", undefined, facts, make("h4", "", "in your words"), shaded(told.query, told.query_words, sharedWords),
    make("h4", "", "in the record"), shaded(told.text, told.pieces, sharedWords), legend);
};

// A whole record, for what was not found by a query.
export const rowElement = (found) => {
  const list = make("dl", "row");
  for (const [name, value] of Object.entries(found.row)) {
    list.append(make("dt", "", name), make("dd", "", (typeof value === "string" ? value : JSON.stringify(value)).replaceAll("\u001f", "\n")));
  }
  return make("div", "explained", undefined, list);
};
