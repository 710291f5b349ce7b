// What is asked for, kept in the address: a search can be shared, and Back works.
const MODES = ["hybrid", "near", "words"];
const STEP = 20, PAUSE = 1500; // hits at first, and milliseconds of typing that make one step of Back

export const DEFAULTS = {q: "", mode: "hybrid", where: [], like: "", compare: false, k: STEP, open: ""};

export const read = () => {
  const given = new URLSearchParams(location.search), mode = given.get("mode"), k = Number(given.get("k"));
  return {
    q: given.get("q") ?? "",
    mode: MODES.includes(mode) ? mode : "hybrid",
    where: given.getAll("where"),
    like: given.get("like") ?? "",
    compare: given.get("compare") === "1",
    k: Number.isInteger(k) && k > 0 ? k : STEP,
    open: given.get("open") ?? "",
  };
};

const address = (state) => {
  const given = new URLSearchParams();
  if (state.q) given.set("q", state.q);
  if (state.mode !== "hybrid") given.set("mode", state.mode);
  for (const filter of state.where) given.append("where", filter);
  if (state.like) given.set("like", state.like);
  if (state.compare) given.set("compare", "1");
  if (state.k !== STEP) given.set("k", String(state.k));
  if (state.open) given.set("open", state.open);
  return given.size ? `?${given}` : location.pathname;
};

let typed = -Infinity;

// typing: letters of one query are one step of Back, not one each
export const write = (state, {typing = false, quiet = false} = {}) => {
  const now = performance.now(), going = typing && now - typed < PAUSE;
  typed = typing ? now : -Infinity;
  history[quiet || going ? "replaceState" : "pushState"](null, "", address(state));
  document.title = state.q ? `${state.q} \u2013 nearfar` : "nearfar search";
};
