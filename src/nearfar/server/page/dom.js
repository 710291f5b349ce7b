// Elements made by hand: whatever comes from data reaches the page as textContent, never as markup.
export const find = (selector) => document.querySelector(selector);

export const make = (tag, name = "", text = undefined, ...children) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined && text !== null) made.textContent = text;
  made.append(...children);
  return made;
};

export const button = (name, text, act, label = "") => {
  const made = make("button", name, text);
  made.type = "button";
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
};

export const number = (value, digits = 3) => value === null || value === undefined ? "\u2013" : value.toFixed(digits);
export const count = (value) => value.toLocaleString("en");

// What comes before the package is the same for all and says nothing.
export const shortPlace = (place) => {
  for (const mark of ["/site-packages/", "/dist-packages/"]) {
    const at = place.indexOf(mark);
    if (at >= 0) return place.slice(at + mark.length);
  }
  const parts = place.split("/");
  return parts.length > 4 ? `\u2026/${parts.slice(-3).join("/")}` : place;
};
