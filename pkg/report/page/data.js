"use strict";
// The data of the page as trees, and how values read. A node: {frame, value, self, base, baseSelf, weight, cut,
// id, parent, children, depth, x}; x is where it begins, in units of weight.

const source = JSON.parse(document.getElementById("data").textContent);
const isDiff = "baseTotal" in source;
const whole = source.total;
const wholeBefore = isDiff ? source.baseTotal : 0;

const frames = source.frames.map(([name, file, line, pkg]) => {
  const path = source.files[file] || "";
  // by line a function has a frame for each of its lines
  const at = source.by === "line" && line > 0 ? ":" + line : "";
  const short = shorten(name) + at;
  return { name: name + at, key: at ? `${name} ${path}${at}` : name, line, file: path, pkg: source.packages[pkg] || "", hue: source.hues[pkg] || 0,
    short, forms: [name + at, short, afterPackage(short), lastPart(short)] };
});
const rootFrame = { name: "all", key: "", line: 0, file: "", pkg: "", hue: 0, short: "all", forms: ["all"], isRoot: true };

// Without the path of the package: "promql.(*evaluator).Eval".
function shorten(name) {
  let end = name.search(/[([<{ ]/);
  if (end < 0) end = name.length;
  const slash = name.lastIndexOf("/", end);
  return slash < 0 ? name : name.slice(slash + 1);
}

// "(*evaluator).Eval" of that, and "Eval": what still tells frames apart where there is little room.
function afterPackage(short) {
  const dot = short.search(/[.([<{]/);
  return dot > 0 && short[dot] === "." ? short.slice(dot + 1) : short;
}

function lastPart(short) {
  const plain = short.replace(/[[<{].*$/s, ""), dot = Math.max(plain.lastIndexOf("."), plain.lastIndexOf("::") + 1);
  const last = plain.slice(dot + 1);
  return /^func\d+$|^[\d:]*$/.test(last) ? afterPackage(short) : last;
}

function newNode(frame, parent) {
  return { frame, parent, value: 0, self: 0, base: 0, baseSelf: 0, weight: 0, cut: 0, id: "", children: [],
    depth: parent ? parent.depth + 1 : 0, x: 0 };
}

function readTree() {
  const c = source.nodes, nodes = [];
  for (let i = 0; i < c.parent.length; i++) {
    const parent = i > 0 ? nodes[c.parent[i]] : null;
    const node = newNode(c.frame[i] < 0 ? rootFrame : frames[c.frame[i]], parent);
    node.value = c.value[i];
    node.self = c.self[i];
    node.base = isDiff ? c.base[i] : 0;
    node.baseSelf = isDiff ? c.baseSelf[i] : 0;
    node.weight = c.weight ? c.weight[i] : c.value[i];
    node.cut = c.leftOut[i];
    node.id = c.id[i];
    if (parent) parent.children.push(node);
    nodes.push(node);
  }
  return nodes[0];
}

// All nodes below, callers first; no recursion, stacks are deep.
function nodesOf(root) {
  const all = [root];
  for (let i = 0; i < all.length; i++) for (const child of all[i].children) all.push(child);
  return all;
}

// Sorts children and gives every node its place. Those that were cut leave room on the right.
function arrange(root, byName) {
  root.x = 0;
  for (const node of nodesOf(root)) {
    node.children.sort((a, b) => (byName ? 0 : b.weight - a.weight) || (a.frame.name < b.frame.name ? -1 : a.frame.name > b.frame.name ? 1 : 0));
    let x = node.x;
    for (const child of node.children) {
      child.x = x;
      x += child.weight;
    }
  }
  return root;
}

function add(to, from) {
  to.value += from.value;
  to.base += from.base;
  to.weight += from.weight;
}

function childOf(node, frame, index) {
  let children = index.get(node);
  if (!children) index.set(node, children = new Map());
  let child = children.get(frame);
  if (!child) {
    children.set(frame, child = newNode(frame, node));
    node.children.push(child);
  }
  return child;
}

// Whether a caller of the node is of the same function: such a node is part of that one.
function isInner(node) {
  for (let up = node.parent; up; up = up.parent) if (up.frame === node.frame) return true;
  return false;
}

// All stacks that lead to a function, the function on top: who calls it, and who calls those.
function callersOf(root, frame) {
  const top = newNode(frame, null), index = new Map();
  for (const node of nodesOf(root)) {
    if (node.frame !== frame || isInner(node)) continue;
    add(top, node);
    let at = top;
    for (let up = node.parent; up && !up.frame.isRoot; up = up.parent) {
      at = childOf(at, up.frame, index);
      add(at, node);
    }
  }
  return top;
}

// All a function calls, from everywhere.
function calleesOf(root, frame) {
  const top = newNode(frame, null), index = new Map(), place = new Map();
  for (const node of nodesOf(root)) {
    const above = node.parent && place.get(node.parent);
    let at;
    if (above) at = childOf(above, node.frame, index);
    else if (node.frame === frame && !isInner(node)) at = top;
    else continue;
    place.set(node, at);
    add(at, node);
    at.self += node.self;
    at.baseSelf += node.baseSelf;
    at.cut += node.cut;
  }
  return top;
}

// Rows of the table: each function once, what recursion counts twice taken out.
function functionsOf(root) {
  const rows = new Map();
  for (const node of nodesOf(root)) {
    if (node.frame.isRoot) continue;
    let row = rows.get(node.frame);
    if (!row) rows.set(node.frame, row = { frame: node.frame, self: 0, value: 0, baseSelf: 0, base: 0 });
    row.self += node.self;
    row.baseSelf += node.baseSelf;
    if (!isInner(node)) {
      row.value += node.value;
      row.base += node.base;
    }
  }
  return [...rows.values()];
}

// ---- values ----

const families = [
  { units: [["B", 1], ["kB", 2 ** 10], ["MB", 2 ** 20], ["GB", 2 ** 30], ["TB", 2 ** 40], ["PB", 2 ** 50]],
    names: { b: 1, byte: 1, kb: 2 ** 10, kilobyte: 2 ** 10, mb: 2 ** 20, megabyte: 2 ** 20, gb: 2 ** 30, gigabyte: 2 ** 30 } },
  { units: [["ns", 1], ["us", 1e3], ["ms", 1e6], ["s", 1e9], ["hrs", 3600e9]],
    names: { ns: 1, nanosecond: 1, us: 1e3, microsecond: 1e3, ms: 1e6, millisecond: 1e6, s: 1e9, second: 1e9, sec: 1e9 } },
];

function textOf(value, unit = source.unit) {
  let name = unit.toLowerCase();
  if (name.length > 2) name = name.replace(/s$/, "");
  for (const family of families) {
    if (!Object.hasOwn(family.names, name)) continue;
    const v = Math.abs(value) * family.names[name];
    let best = family.units[0];
    for (const u of family.units) if (v >= u[1]) best = u;
    const text = (v / best[1]).toFixed(2).replace(/\.00$/, "");
    return text === "0" ? "0" : (value < 0 ? "-" : "") + text + best[0];
  }
  return value.toLocaleString("en").replace(/,/g, "\u202f");
}

function percentOf(value, total) {
  if (!total) return "";
  const p = value / total * 100, size = Math.abs(p);
  return (size >= 99.95 ? p.toFixed(0) : size >= 10 ? p.toFixed(1) : size >= 0.01 || p === 0 ? p.toFixed(2) : "<0.01") + "%";
}

function changeOf(node) {
  const larger = Math.max(node.value, node.base), by = node.value - node.base;
  if (larger <= 0 || Math.abs(by) < (wholeBefore || whole) / 1000) return 0;
  return Math.max(-1, Math.min(1, by / larger));
}

const signed = (value) => (value > 0 ? "+" : "") + textOf(value);
