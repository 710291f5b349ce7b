// The search page: what is typed and chosen becomes a question, its answer a list and lights on the map.
import {Gone, Latest, Refused, ask, setToken} from "./ask.js";
import {button, count, find, make} from "./dom.js";
import {explanationElement, hitElement, rowElement} from "./hits.js";
import {CorpusMap} from "./map.js";
import {DEFAULTS, read, write} from "./state.js";

const DEBOUNCE = 70, AGAIN = 2000, STEPS = [20, 50, 100];
const latest = new Latest(), input = find("#query");
let state = read(), served = null, answers = [], marked = null, timer = 0, mapOf = "";

const map = new CorpusMap((key) => pick(key));

// Asking.

const names = () => served.indexes.slice(0, state.compare ? 2 : 1).map((index) => index.name);

const questions = (signal) => names().map((index) => {
  const common = {index, k: Math.min(state.k, served.limits.k), where: state.where};
  return state.like ? ask("/api/like", {...common, key: state.like}, signal)
    : ask("/api/search", {...common, q: state.q, mode: state.mode, prefix: "true"}, signal);
});

const search = async () => {
  clearTimeout(timer);
  if (!served) return;
  if (!state.q.trim() && !state.like) {
    await latest.run(async () => undefined);
    answers = [];
    return show(0);
  }
  const started = performance.now();
  try {
    const found = await latest.run((signal) => Promise.all(questions(signal)));
    if (!found) return;
    answers = found;
    calm();
    show(performance.now() - started);
    if (state.open) explain(state.open);
  } catch (error) {
    trouble(error, search);
  }
};

const set = (change, options = {}) => {
  state = {...state, ...change};
  write(state, options);
  controls();
  if (options.typing) {
    clearTimeout(timer);
    timer = setTimeout(search, DEBOUNCE);
  } else {
    search();
  }
};

// Showing.

const other = (side) => answers[1 - side]?.hits ?? [];

const twinOf = (hit, side) => {
  if (answers.length < 2) return null;
  const at = other(side).findIndex((there) => there.key === hit.key), name = names()[1 - side];
  return at < 0 ? {kind: "alone", text: `not among the ${other(side).length} of ${name}`} : {kind: "both", text: `rank ${at + 1} in ${name}`};
};

const act = {
  open: (key) => open(key),
  like: (hit) => set({like: hit.key, q: "", open: "", k: DEFAULTS.k}),
  filter: (text) => state.where.includes(text) || set({where: [...state.where, text], open: ""}),
  mark: (key) => {
    if (marked === key) return;
    marked = key;
    for (const item of document.querySelectorAll("li.hit")) item.classList.toggle("marked", key !== null && item.dataset.key === key);
    map.mark(key);
  },
  copy: async (text, place) => {
    try {
      await navigator.clipboard.writeText(text);
      place.dataset.told = "copied";
    } catch {
      place.dataset.told = "press Ctrl-C";
      getSelection().selectAllChildren(place);
    }
    setTimeout(() => delete place.dataset.told, 1200);
  },
};

const show = (milliseconds) => {
  const asked = state.q.trim() || state.like, lists = find("#lists");
  act.mark(null);
  find("#empty").hidden = Boolean(asked);
  lists.className = answers.length > 1 ? "beside" : "";
  lists.replaceChildren(...answers.map((answer, side) => listElement(answer, side)));
  find("#count").textContent = asked ? said(milliseconds) : "";
  const hits = answers[0]?.hits ?? [], next = STEPS.find((step) => step > state.k && step <= (served?.limits.k ?? 0));
  find("#more").hidden = !(next && answers.some((answer) => answer.hits.length >= state.k));
  if (!asked) empty();
  lightUp(hits);
};

const lightUp = (hits) => {
  const side = names().indexOf(mapOf), shown = side > 0 ? answers[side]?.hits ?? [] : hits;
  map.light(shown.map((hit, i) => ({at: hit.at, key: hit.key, title: hit.title || hit.snippet, rank: i + 1})));
};

const said = (milliseconds) => {
  const found = answers[0].hits.length, rows = served.indexes[0].rows;
  if (!found && answers.every((answer) => !answer.hits.length)) {
    return state.where.length ? "Nothing found: take a filter away, or use other words." : "Nothing found: use other words.";
  }
  const what = state.like ? `${count(found)} records like this one` : found === 1 ? "1 hit" : `the best ${count(found)}`;
  return `${what} of ${count(rows)} records, ${Math.round(milliseconds)} ms`;
};

const listElement = (answer, side) => {
  const list = make("ol", "hits"), best = Math.max(...answer.hits.map((hit) => hit.words ?? 0), 0), query = state.like ? "" : state.q;
  list.setAttribute("aria-label", `hits in ${answer.index}`);
  list.append(...answer.hits.map((hit, i) => hitElement(hit, i + 1, {query, best, twin: twinOf(hit, side), act})));
  const column = make("div", "column");
  column.dataset.index = answer.index;
  if (answers.length > 1) {
    const facts = served.indexes[side], both = answer.hits.filter((hit) => other(side).some((there) => there.key === hit.key)).length;
    column.append(make("h2", "", answer.index), make("p", "note", `model ${facts.model.slice(0, 8)}, ${facts.dimension} numbers; ${both} of ${answer.hits.length} are in both`));
  }
  column.append(list);
  return column;
};

const empty = () => {
  const box = find("#empty"), index = served.indexes[0];
  box.replaceChildren(make("p", "lead", `${count(index.rows)} records to search. Type, or begin with one of these:`));
  const list = make("ul", "examples");
  for (const example of index.examples) list.append(make("li", "", undefined, button("example", example, () => { input.value = example; set({q: example, like: "", open: ""}); })));
  if (index.examples.length) box.append(list);
  if (!index.reads_text) box.replaceChildren(make("p", "lead", `${count(index.rows)} records whose model reads no text. Click a point of the map, then \u201cmore like this\u201d; words search their names.`));
};

// Explanations.

const itemsOf = (key) => [...document.querySelectorAll("li.hit")].filter((item) => item.dataset.key === key);

const open = (key) => {
  const closing = state.open === key;
  keep({open: closing ? "" : key});
  for (const item of document.querySelectorAll("li.hit")) {
    item.querySelector(".explained")?.remove();
    item.classList.remove("open");
    item.querySelector(".why").setAttribute("aria-expanded", "false");
  }
  if (!closing) explain(key);
};

const keep = (change) => {
  state = {...state, ...change};
  write(state, {quiet: true});
};

const explain = async (key) => {
  for (const item of itemsOf(key)) {
    const index = item.closest(".column").dataset.index, hit = answers.find((answer) => answer.index === index).hits.find((each) => each.key === key);
    item.classList.add("open");
    item.querySelector(".why").setAttribute("aria-expanded", "true");
    try {
      const made = state.like || !served.indexes[0].reads_text ? rowElement(await ask("/api/row", {key, index}))
        : explanationElement(await ask("/api/explain", {q: state.q, key, index}), hit, state.mode);
      if (state.open === key && item.isConnected && !item.querySelector(".explained")) item.append(made);
    } catch (error) {
      trouble(error, () => explain(key));
    }
  }
};

// The map.

const pick = async (key) => {
  const item = itemsOf(key)[0];
  if (item) return moveTo(item);
  try {
    const found = await ask("/api/row", {key, index: mapOf}), card = make("div", "card");
    card.append(make("h3", "", found.title || found.place || found.snippet.slice(0, 80)));
    if (found.place) card.append(make("p", "note", found.place));
    card.append(make("p", "snippet", found.snippet), button("act", "more like this", () => set({like: key, q: "", open: ""})),
      button("act", "close", () => { find("#picked").replaceChildren(); map.mark(null); }));
    find("#picked").replaceChildren(card);
    map.mark(key);
  } catch (error) {
    trouble(error, () => pick(key));
  }
};

const drawMap = async (name) => {
  mapOf = name;
  try {
    map.show(await ask("/api/map", {index: name}));
    lightUp(answers[0]?.hits ?? []);
  } catch (error) {
    trouble(error, () => drawMap(name));
  }
};

// Controls.

const controls = () => {
  if (document.activeElement !== input || input.value.trim() === "") input.value = state.q;
  for (const each of document.querySelectorAll("#mode button")) {
    const on = each.dataset.mode === state.mode;
    each.setAttribute("aria-checked", String(on));
    each.tabIndex = on ? 0 : -1;
  }
  find("#compare").setAttribute("aria-pressed", String(state.compare));
  const chips = state.where.map((text) => button("chip on", `${text} \u00d7`, () => set({where: state.where.filter((each) => each !== text), open: ""}), `take away ${text}`));
  if (state.like) chips.unshift(button("chip on", "like a record \u00d7", () => set({like: "", open: ""}), "no longer like a record"));
  find("#chosen").replaceChildren(...chips);
  for (const select of document.querySelectorAll("#filters select")) {
    const chosen = state.where.find((text) => text.startsWith(`${select.name}=`));
    select.value = chosen ?? "";
  }
};

const filters = () => {
  find("#filters").replaceChildren(...served.indexes[0].columns.map((column) => {
    const select = make("select"), label = make("label", "filter", undefined, make("span", "", column.name), select);
    select.name = column.name;
    select.append(make("option", "", "any"), ...column.values.map(([value, many]) => {
      const option = make("option", "", `${value} (${count(many)})`);
      option.value = `${column.name}=${value}`;
      return option;
    }));
    select.firstChild.value = "";
    select.addEventListener("change", () => {
      const rest = state.where.filter((text) => !text.startsWith(`${column.name}=`));
      set({where: select.value ? [...rest, select.value] : rest, open: ""});
    });
    return label;
  }));
  find("#filter-add").hidden = false;
};

const mapChoice = () => {
  if (served.indexes.length < 2) return;
  const select = make("select");
  select.setAttribute("aria-label", "map of");
  select.append(...served.indexes.map((index) => make("option", "", index.name)));
  select.addEventListener("change", () => drawMap(select.value));
  find(".map-head h2").after(select);
};

// Trouble.

const calm = () => { find("#trouble").hidden = true; };

const trouble = (error, again) => {
  const box = find("#trouble");
  if (error instanceof Refused && error.status === 401) return token(again, error.message);
  box.hidden = false;
  if (error instanceof Gone) {
    box.textContent = "The server does not answer. It may have been stopped; this page tries again by itself.";
    setTimeout(() => ask("/health").then(() => { calm(); again(); }, () => trouble(error, again)), AGAIN);
  } else if (error instanceof Refused && error.status === 503) {
    box.textContent = "The server is busy; this page asks again in a moment.";
    setTimeout(again, AGAIN / 2);
  } else if (error instanceof Refused) {
    box.textContent = error.remedy ? `${error.message}. ${error.remedy}.` : `${error.message}.`;
  } else {
    box.textContent = "The page has a fault; the browser's console says more.";
    throw error;
  }
};

const token = (again, told) => {
  const dialog = find("#token");
  if (told.includes("wrong")) find("#token-note").textContent = "That is not it.";
  if (!dialog.open) dialog.showModal();
  find("#token-form").onsubmit = () => {
    setToken(find("#token-text").value.trim());
    find("#token-text").value = "";
    again();
  };
};

// Keys.

const items = () => [...document.querySelectorAll("li.hit")];

const moveTo = (item) => {
  for (const each of items()) each.tabIndex = -1;
  item.tabIndex = 0;
  item.focus({preventScroll: true});
  item.scrollIntoView({block: "nearest"});
};

const step = (by) => {
  const all = items(), at = all.indexOf(document.activeElement.closest?.("li.hit"));
  if (!all.length) return;
  if (by < 0 && at <= 0) return input.focus();
  moveTo(all[Math.min(at + by, all.length - 1)]);
};

const escape = () => {
  if (state.open) {
    const [item] = itemsOf(state.open);
    open(state.open);
    return item?.focus();
  }
  input.value = "";
  set({q: "", like: "", open: "", k: DEFAULTS.k});
  input.focus();
};

const onHit = (event, item) => {
  const key = item.dataset.key;
  if (event.key === "m") act.like({key});
  else if (event.key === "Enter" && event.target === item) open(key);
  else return false;
  return true;
};

const onKey = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const target = event.target, writing = target.matches("input, select, textarea"), item = target.closest?.("li.hit");
  const handled = () => {
    if (event.key === "Escape") return escape(), true;
    if (target === input && event.key === "ArrowDown") return step(1), true;
    if (target === input && event.key === "Enter") return clearTimeout(timer), search(), true;
    if (writing) return false;
    if (event.key === "/") return input.focus(), input.select(), true;
    if (event.key === "?") return find("#help").showModal(), true;
    if (event.key === "c" && served?.indexes.length > 1) return set({compare: !state.compare}), true;
    if (target.closest?.("#mode") && event.key.startsWith("Arrow")) return turn(event.key), true;
    if (["ArrowDown", "j"].includes(event.key)) return step(1), true;
    if (["ArrowUp", "k"].includes(event.key)) return step(-1), true;
    return item ? onHit(event, item) : false;
  };
  if (handled()) event.preventDefault();
};

const turn = (key) => {
  const all = [...document.querySelectorAll("#mode button")], at = all.findIndex((each) => each.dataset.mode === state.mode);
  const next = all[(at + (["ArrowRight", "ArrowDown"].includes(key) ? 1 : all.length - 1)) % all.length];
  set({mode: next.dataset.mode});
  next.focus();
};

// Begin.

const listen = () => {
  input.addEventListener("input", () => set({q: input.value, like: "", open: "", k: DEFAULTS.k}, {typing: true}));
  for (const each of document.querySelectorAll("#mode button")) each.addEventListener("click", () => set({mode: each.dataset.mode}));
  find("#compare").addEventListener("click", () => set({compare: !state.compare}));
  find("#more").addEventListener("click", () => set({k: STEPS.find((each) => each > state.k) ?? state.k}));
  find("#filter-add").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = find("#filter-text").value.trim();
    find("#filter-text").value = "";
    if (text) act.filter(text);
  });
  find("#help-open").addEventListener("click", () => find("#help").showModal());
  find("#help-close").addEventListener("click", () => find("#help").close());
  document.addEventListener("keydown", onKey);
  addEventListener("popstate", () => {
    state = read();
    input.value = state.q;
    controls();
    search();
  });
};

const begin = async () => {
  try {
    served = await ask("/api/index");
  } catch (error) {
    return trouble(error, begin);
  }
  calm();
  const [first] = served.indexes;
  find("#compare").hidden = served.indexes.length < 2;
  find("#facts").textContent = `${first.name}: ${count(first.rows)} records, vectors of ${first.dimension} numbers (${first.dtype}), nearfar ${served.version}.`;
  input.maxLength = served.limits.query;
  filters();
  mapChoice();
  controls();
  input.value = state.q;
  await Promise.all([search(), drawMap(first.name)]);
  if (!state.q && !state.like) input.focus();
};

listen();
begin();
