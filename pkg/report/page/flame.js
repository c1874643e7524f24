// What people do with the graph. Where they are is kept in the address: #z=zoomed node &q=search &m=callers|callees &f=function.

const el = (id) => document.getElementById(id);
const whole_tree = readTree();
const state = { zoom: "", query: "", mode: "", frame: "", byName: false, sort: isDiff ? "selfBy" : "self", down: true };
const keep = {
  get(name) { try { return localStorage.getItem("kube-pprof." + name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem("kube-pprof." + name, value); } catch { /* not kept */ } },
};

// ---- the address ----

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  state.zoom = given.get("z") || "";
  state.query = given.get("q") || "";
  state.mode = ["callers", "callees"].includes(given.get("m")) ? given.get("m") : "";
  state.frame = given.get("f") || "";
}

function writeAddress(replaces) {
  const p = new URLSearchParams();
  if (state.mode) p.set("m", state.mode);
  if (state.mode) p.set("f", state.frame);
  if (state.zoom) p.set("z", state.zoom);
  if (state.query) p.set("q", state.query);
  const hash = p.size ? "#" + p : "#";
  if (hash === (location.hash || "#")) return;
  try { history[replaces ? "replaceState" : "pushState"](null, "", hash); } catch { /* a page without an address */ }
}

// Nodes of a merged tree have no id of the server's: their path is one.
function idOf(node) {
  if (!node.parent) return "";
  if (node.id) return node.id;
  const path = [];
  for (let at = node; at.parent; at = at.parent) path.push(at.parent.children.indexOf(at));
  return path.reverse().join(".");
}

// ---- showing ----

function setText(id, text) { el(id).textContent = text; }

function make(tag, text, parent) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}

function currentTree() {
  const frame = frames.find((f) => f.key === state.frame);
  if (!state.mode || !frame) {
    state.mode = "";
    return whole_tree;
  }
  return state.mode === "callers" ? callersOf(whole_tree, frame) : calleesOf(whole_tree, frame);
}

function show(atOnce) {
  setTree(arrange(currentTree(), state.byName));
  search();
  const zoom = state.zoom && view.nodes.find((node) => idOf(node) === state.zoom);
  if (!zoom) state.zoom = "";
  zoomTo(zoom || view.tree, atOnce);
  showCrumbs();
  showBar(view.selected);
  showTable();
  setText("order", state.byName ? "Order: name" : "Order: weight");
  setText("colour", view.byChange ? "Colour: change" : "Colour: package");
  el("colour").hidden = !isDiff;
  el("reset").disabled = !state.zoom && !state.mode && !state.query;
  showLegend();
}

function showMeta() {
  const parts = [source.sampleType + (source.by === "function" ? "" : " by " + source.by)];
  parts.push(isDiff ? `${textOf(whole)} against ${textOf(wholeBefore)} (${signed(whole - wholeBefore)})` : textOf(whole) + " in all");
  if (source.durationNanos > 0) parts.push("over " + textOf(source.durationNanos, "nanoseconds"));
  if (source.timeNanos > 0) parts.push(new Date(source.timeNanos / 1e6).toISOString().replace("T", " ").slice(0, 19) + " UTC");
  if (source.path.length) parts.push("below " + source.path.map(shorten).slice(-3).join(" \u203a "));
  if (whole_tree.value < whole && !isDiff) parts.push(`${textOf(whole_tree.value)} (${percentOf(whole_tree.value, whole)}) in this graph`);
  if (source.leftOut.nodes > 0) {
    const shown = source.nodes.parent.length, all = shown + source.leftOut.nodes;
    parts.push(`${shown.toLocaleString("en")} of ${all.toLocaleString("en")} nodes shown, the rest is small (${percentOf(source.leftOut.value, whole_tree.weight)} in sum)`);
  }
  if (whole_tree.weight === 0) parts.push("there is nothing to see: no sample has a value");
  setText("meta", parts.join(" \u00b7 "));
}

function showCrumbs() {
  const nav = el("crumbs");
  nav.replaceChildren();
  const path = [];
  for (let node = view.zoom; node; node = node.parent) path.unshift(node);
  const add_one = (text, title, action, isLast) => {
    if (nav.childNodes.length) make("span", "\u203a", nav);
    const button = make("button", text, nav);
    button.type = "button";
    button.title = title;
    button.addEventListener("click", action);
    if (isLast) {
      button.className = "last";
      button.setAttribute("aria-current", "true");
    }
    return button;
  };
  if (state.mode) add_one("all", "Show everything", () => go({ mode: "", frame: "", zoom: "" }));
  const cut = path.length > 9 ? path.length - 8 : 0; // the first and the nearest
  path.forEach((node, i) => {
    if (i > 0 && i < cut) return;
    const prefix = state.mode && i === 0 ? (state.mode === "callers" ? "callers of " : "callees of ") : "";
    add_one(prefix + node.frame.short, node.frame.name, () => go({ zoom: idOf(node) }), i === path.length - 1);
    if (i === 0 && cut > 0) add_one("\u2026 " + (cut - 1), "callers not shown here", () => go({ zoom: idOf(path[cut - 1]) })).className = "more";
  });
}

function factsOf(node) {
  const facts = [["total", textOf(node.value), percentOf(node.value, whole)]];
  if (!(state.mode === "callers")) facts.push(["self", textOf(node.self), percentOf(node.self, whole)]);
  if (node.parent && node.parent.value > 0) facts.push(["of its caller", "", percentOf(node.value, node.parent.value)]);
  if (isDiff) {
    facts.splice(1, 0, ["before", textOf(node.base), percentOf(node.base, wholeBefore)]);
    const word = node.base <= 0 && node.value > 0 ? "new" : node.value <= 0 && node.base > 0 ? "gone" : percentOf(node.value - node.base, node.base);
    facts.splice(2, 0, ["change", signed(node.value - node.base), (word[0] !== "-" && /\d/.test(word) ? "+" : "") + word]);
  }
  if (node.cut > 0) facts.push(["not shown", `${node.cut} smaller below`, ""]);
  return facts;
}

const placeOf = (frame) => [frame.pkg, frame.file && frame.file + (frame.line > 0 ? ":" + frame.line : "")].filter(Boolean).join(" \u00b7 ");

function showBar(node) {
  const bar = el("bar");
  bar.replaceChildren();
  make("b", node.frame.name, bar);
  const facts = factsOf(node).map(([name, value, share]) => [name, value, value && share ? `(${share})` : share].filter(Boolean).join(" "));
  make("span", [facts.join(" \u00b7 "), placeOf(node.frame)].filter(Boolean).join(" \u00b7 "), bar);
  for (const id of ["callers", "callees", "copy"]) el(id).disabled = Boolean(node.frame.isRoot);
}

function showTip(node, x, y) {
  const tip = el("tip");
  tip.hidden = !node;
  if (!node) return;
  tip.replaceChildren();
  make("b", node.frame.name, tip);
  const place = placeOf(node.frame);
  if (place) make("div", place, tip);
  const table = make("table", undefined, tip);
  for (const fact of factsOf(node)) {
    const row = make("tr", undefined, table);
    for (const text of fact) make("td", text, row);
  }
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = (y + 22 + box.height > innerHeight ? Math.max(6, y - box.height - 12) : y + 22) + "px";
}

function showLegend() {
  const legend = el("legend");
  legend.hidden = !isDiff || !view.byChange;
  legend.replaceChildren();
  for (const [change, text] of [[-1, "gone"], [-0.5, "takes less"], [0, "about the same"], [0.5, "takes more"], [1, "new"]]) {
    const item = make("span", undefined, legend);
    make("i", undefined, item).style.background = changeColour(change);
    item.append(text);
  }
  make("span", "width: before and after together", legend);
}

// ---- the table ----

const columns = isDiff
  ? [["name", "Function"], ["self", "Self"], ["selfBy", "Change"], ["value", "Total"], ["valueBy", "Change"]]
  : [["name", "Function"], ["self", "Self"], ["value", "Total"]];
const all_rows = functionsOf(whole_tree);
for (const row of all_rows) Object.assign(row, { name: row.frame.name, selfBy: row.self - row.baseSelf, valueBy: row.value - row.base });

function showColumns() {
  el("columns").replaceChildren();
  for (const [key, text] of columns) {
    const th = make("th", undefined, el("columns"));
    const button = make("button", text + (state.sort === key ? (state.down ? " \u25be" : " \u25b4") : ""), th);
    th.setAttribute("aria-sort", state.sort === key ? (state.down ? "descending" : "ascending") : "none");
    button.addEventListener("click", () => {
      state.down = state.sort === key ? !state.down : key !== "name";
      state.sort = key;
      showTable();
    });
  }
}

function showTable() {
  if (el("table").hidden) return;
  showColumns();
  const key = state.sort, turn = state.down ? -1 : 1, size = key.endsWith("By") ? Math.abs : (v) => v;
  const rows = all_rows.filter((row) => !view.matches || view.matches.has(row.frame));
  rows.sort((a, b) => turn * (key === "name" ? (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) : size(a[key]) - size(b[key])) || b.value - a.value);
  const body = el("rows");
  body.replaceChildren();
  for (const row of rows.slice(0, 500)) {
    const tr = make("tr", undefined, body);
    tr.tabIndex = 0;
    if (row.frame === view.selected.frame) tr.className = "on";
    for (const [column] of columns) {
      const td = make("td", undefined, tr);
      if (column === "name") {
        make("i", undefined, td).style.background = packageColour(row.frame);
        td.append(row.frame.short);
        td.title = row.name;
      } else if (column.endsWith("By")) {
        td.textContent = row[column] === 0 ? "" : signed(row[column]);
      } else {
        td.textContent = textOf(row[column]);
        if (!isDiff && row[column] !== 0) make("small", percentOf(row[column], whole), td);
      }
    }
    const open = () => go({ mode: "callees", frame: row.frame.key, zoom: "" });
    tr.addEventListener("click", open);
    tr.addEventListener("keydown", (e) => e.key === "Enter" && open());
    tr.addEventListener("pointerenter", () => { view.spot = row.frame; redraw(); });
  }
  if (rows.length > 500) make("td", `${rows.length - 500} more`, make("tr", undefined, body));
}

// ---- search ----

function search() {
  const box = el("search");
  box.classList.remove("wrong");
  view.matches = null;
  setText("matched", "");
  if (!state.query) return;
  let pattern;
  try {
    pattern = new RegExp(state.query, "i");
  } catch {
    box.classList.add("wrong");
    setText("matched", "no regexp");
    return;
  }
  view.matches = new Set(frames.filter((f) => pattern.test(f.name) || (f.file && pattern.test(f.file))));
  // what lies below a match is part of it: each stack counts once
  let value = 0, n = 0;
  const inside = new Set();
  for (const node of view.nodes) {
    const isMatch = view.matches.has(node.frame);
    n += isMatch ? 1 : 0;
    if (node.parent && inside.has(node.parent)) inside.add(node);
    else if (isMatch) {
      inside.add(node);
      value += node.value;
    }
  }
  setText("matched", n === 0 ? "nothing" : `${percentOf(value, whole)} \u00b7 ${textOf(value)}`);
}

function nextMatch(step) {
  if (!view.matches) return;
  const inside = (node) => node.x + node.weight > view.from && node.x < view.from + view.width;
  const found = view.nodes.filter((node) => view.matches.has(node.frame) && node.weight > 0 && inside(node))
    .sort((a, b) => a.x - b.x || a.depth - b.depth);
  if (!found.length) return;
  const at = found.indexOf(view.selected);
  select(found[(at + step + found.length) % found.length]);
}

// ---- doing ----

function go(change, replaces) {
  Object.assign(state, change);
  writeAddress(replaces);
  show(false);
}

function select(node) {
  view.selected = node;
  reveal(node);
  showBar(node);
  redraw();
}

function merge(mode) {
  const frame = view.selected.frame;
  if (!frame.isRoot) go({ mode, frame: frame.key, zoom: "" });
}

function toggleTable() {
  const table = el("table");
  table.hidden = !table.hidden;
  view.spot = null;
  el("table-toggle").setAttribute("aria-pressed", String(!table.hidden));
  showTable();
  resize();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  setText("theme", theme === "dark" ? "Light" : "Dark");
}

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  keep.set("theme", theme);
  setTheme(theme);
  showLegend();
  showTable();
  redraw();
}

async function copyName() {
  const name = view.selected.frame.name;
  try {
    await navigator.clipboard.writeText(name);
    setText("copy", "Copied");
  } catch {
    setText("copy", "Cannot copy");
  }
  setTimeout(() => setText("copy", "Copy"), 1200);
}

function escape() {
  if (state.query) {
    el("search").value = "";
    go({ query: "" });
  } else {
    go({ zoom: "", mode: "", frame: "" });
  }
}

function sibling(step) {
  const node = view.selected, parent = node.parent;
  if (!parent) return;
  const next = parent.children[parent.children.indexOf(node) + step];
  if (next && next.weight > 0) select(next);
}

const keys = {
  Enter: () => go({ zoom: idOf(view.selected) }),
  Backspace: () => view.zoom.parent ? go({ zoom: idOf(view.zoom.parent) }) : state.mode && go({ mode: "", frame: "" }),
  Escape: escape,
  ArrowUp: () => view.selected.parent && select(view.selected.parent),
  ArrowDown: () => view.selected.children.length && select(view.selected.children[0]),
  ArrowLeft: () => sibling(-1),
  ArrowRight: () => sibling(1),
  "/": () => el("search").focus(),
  n: () => nextMatch(1),
  N: () => nextMatch(-1),
  c: () => merge("callers"),
  e: () => merge("callees"),
  t: toggleTable,
  o: () => go({ byName: !state.byName }),
  k: () => { if (isDiff) { view.byChange = !view.byChange; show(true); } },
  d: toggleTheme,
  y: copyName,
  "?": () => el("help").showModal(),
};

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.altKey || e.metaKey || el("help").open) return;
  const isInput = e.target === el("search");
  if (isInput && e.key !== "Escape") {
    if (e.key === "Enter") nextMatch(e.shiftKey ? -1 : 1);
    return;
  }
  const isButton = e.target instanceof HTMLButtonElement || e.target instanceof HTMLTableRowElement;
  if (isButton && (e.key === "Enter" || e.key === " ")) return;
  if (!Object.hasOwn(keys, e.key)) return;
  e.preventDefault();
  keys[e.key]();
});

canvas.addEventListener("pointermove", (e) => {
  const node = nodeAt(e.offsetX, e.offsetY);
  if (node !== view.hovered) {
    view.hovered = node;
    redraw();
  }
  if (e.pointerType !== "touch") showTip(node, e.clientX, e.clientY);
});
canvas.addEventListener("pointerleave", () => {
  view.hovered = null;
  showTip(null);
  redraw();
});
canvas.addEventListener("click", (e) => {
  const node = nodeAt(e.offsetX, e.offsetY);
  showTip(null);
  if (node) go({ zoom: idOf(node) });
});
el("rows").addEventListener("pointerleave", () => {
  view.spot = null;
  redraw();
});
scroll.addEventListener("scroll", () => {
  view.hovered = null;
  showTip(null);
  redraw();
}, { passive: true });

for (const [id, key] of [["reset", ""], ["order", "o"], ["colour", "k"], ["table-toggle", "t"], ["theme", "d"], ["callers", "c"], ["callees", "e"], ["copy", "y"], ["help-toggle", "?"]])
  el(id).addEventListener("click", key ? keys[key] : () => {
    el("search").value = "";
    go({ zoom: "", mode: "", frame: "", query: "" });
  });

let typing = 0;
el("search").addEventListener("input", (e) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.query = e.target.value;
    writeAddress(true);
    search();
    showTable();
    el("reset").disabled = !state.zoom && !state.mode && !state.query;
    redraw();
  }, 80);
});

function follow() {
  readAddress();
  el("search").value = state.query;
  show(true);
}

addEventListener("popstate", follow);
new ResizeObserver(resize).observe(scroll);
const wantsDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(keep.get("theme") || (wantsDark.matches ? "dark" : "light"));
wantsDark.addEventListener("change", (e) => {
  if (keep.get("theme")) return;
  setTheme(e.matches ? "dark" : "light");
  show(true);
});
canvas.setAttribute("aria-label", "Flame graph: move with the arrow keys, Enter zooms, Esc shows everything");
showMeta();
follow();
