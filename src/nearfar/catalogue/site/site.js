// Search over the index that search-index.js holds, filters of tables, and the cross-hair of the drawing. No network; works from file://.
"use strict";
document.documentElement.classList.add("script");

// On narrow screens the menu begins closed.
if (matchMedia("(max-width: 52rem)").matches) document.querySelector("nav details").open = false;
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "center" });

const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const plain = (text) => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/_/g, " ");

// A higher number is a better answer; 0 is none. Every word must come somewhere; the name counts most, then what it is, then its text.
function likeness(entry, words) {
  let sum = 0;
  for (const word of words) {
    const [name, kind, text, more] = entry.plain;
    const begins = name.startsWith(word) || name.includes(" " + word);
    const points = name === word ? 12 : begins ? 8 : name.includes(word) ? 5 : kind.includes(word) ? 4 : text.includes(word) ? 2 : more.includes(word) ? 1 : 0;
    if (!points) return 0;
    sum += points;
  }
  return sum + (entry.plain[0] === words.join(" ") ? 20 : 0) - entry.plain[0].length / 1000;
}

function answers(query, entries) {
  const words = plain(query).split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const scored = entries.map((entry) => [likeness(entry, words), entry]).filter(([score]) => score > 0);
  return scored.sort((a, b) => b[0] - a[0]).slice(0, 30).map(([, entry]) => entry);
}

function searchBox() {
  const entries = INDEX.map(([name, kind, text, page, more]) => ({ name, kind, text, page, plain: [name, kind, text, more].map(plain) }));
  const dialog = document.createElement("dialog");
  dialog.className = "search";
  dialog.setAttribute("aria-label", "Search");
  dialog.innerHTML = '<input type="search" placeholder="A method, a part, a paper, a system ..." aria-label="Search" autocomplete="off"><ol></ol><p>Arrows choose, Enter opens, Esc closes.</p>';
  document.body.append(dialog);
  const [input, list, note] = dialog.children;
  let chosen = 0;
  const choose = (number) => {
    const items = [...list.children];
    chosen = Math.max(0, Math.min(number, items.length - 1));
    items.forEach((item, i) => item.classList.toggle("chosen", i === chosen));
    items[chosen]?.scrollIntoView({ block: "nearest" });
  };
  const show = () => {
    const found = answers(input.value, entries);
    list.innerHTML = found
      .map((e) => `<li><a href="${escaped(e.page)}"><b>${escaped(e.name)}</b><small>${escaped(e.kind)}</small><span>${escaped(e.text)}</span></a></li>`)
      .join("");
    note.textContent = input.value.trim() && !found.length ? "Nothing has all of these words." : "Arrows choose, Enter opens, Esc closes.";
    choose(0);
  };
  const open = (text = "") => {
    if (!dialog.open) dialog.showModal();
    if (text) input.value = text;
    show();
    input.select();
  };
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") list.children[chosen]?.querySelector("a").click();
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.querySelector(".find").addEventListener("click", () => open());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea");
    if ((event.key === "/" && !typing) || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      open();
    }
  });
  if (location.hash.startsWith("#search=")) open(decodeURIComponent(location.hash.slice(8)));
}

for (const input of document.querySelectorAll("input.filter")) {
  const rows = [...document.querySelectorAll(input.dataset.filters + " tbody tr")].map((row) => [row, plain(row.textContent)]);
  input.addEventListener("input", () => {
    const words = plain(input.value).split(/\s+/).filter(Boolean);
    for (const [row, text] of rows) row.hidden = !words.every((word) => text.includes(word));
  });
}

for (const matrix of document.querySelectorAll(".matrix")) {
  const cell = Number(matrix.dataset.cell);
  const body = matrix.querySelector(".body");
  body.addEventListener("pointermove", (event) => {
    const box = body.getBoundingClientRect();
    body.querySelector(".row").setAttribute("y", Math.floor((event.clientY - box.top) / cell) * cell);
    body.querySelector(".column").setAttribute("x", Math.floor((event.clientX - box.left) / cell) * cell);
  });
}

if (typeof INDEX !== "undefined") searchBox();
