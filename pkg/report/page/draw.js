// The graph on its canvas. Only the rows in sight are drawn, so depth costs nothing.

const ROW = 21;
const canvas = document.getElementById("canvas");
const scroll = document.getElementById("scroll");
const sheet = document.getElementById("sheet");
const pen = canvas.getContext("2d");

// What is drawn. from, width: the part of the tree across the canvas, in units of weight.
const view = {
  tree: null, nodes: [], zoom: null, selected: null, hovered: null, matches: null, spot: null, byChange: isDiff,
  from: 0, width: 1, depth: 0, timer: 0, pixels: 0, height: 0,
};

const isDark = () => document.documentElement.dataset.theme === "dark";

// ---- colours ----

function packageColour(frame) {
  const grey = frame.isRoot || frame.pkg === "" || frame.pkg[0] === "[" || frame.pkg[0] === "<";
  const hue = frame.hue;
  const shade = hue * 7 % 3 * 4 - 4; // tells packages of near hues apart
  if (isDark()) return grey ? "hsl(215 8% 32%)" : `hsl(${hue} 36% ${36 + shade}%)`;
  return grey ? "hsl(215 12% 86%)" : `hsl(${hue} 64% ${79 + shade}%)`;
}

// Orange takes more than before, blue less; the darkest are new or gone. Also for those who do not see red and green apart.
function changeColour(change) {
  const size = Math.abs(change), dark = isDark();
  if (size === 0) return dark ? "hsl(215 8% 30%)" : "hsl(215 14% 89%)";
  const hue = change > 0 ? (change === 1 ? 350 : 24) : (change === -1 ? 255 : 208);
  const ends = size === 1;
  if (dark) return `hsl(${hue} ${ends ? 60 : 30 + 45 * size}% ${ends ? 42 : 28 + 10 * size}%)`;
  return `hsl(${hue} ${ends ? 75 : 70 + 20 * size}% ${ends ? 72 : 91 - 22 * size}%)`;
}

function fillOf(node) {
  return view.byChange && !node.frame.isRoot ? changeColour(changeOf(node)) : packageColour(node.frame);
}

// ---- geometry ----

function xOf(weight) {
  return (weight - view.from) / view.width * view.pixels;
}

function boxOf(node) {
  const x = Math.max(0, xOf(node.x)), end = Math.min(view.pixels, xOf(node.x + node.weight));
  return { x, w: end - x, y: node.depth * ROW - scroll.scrollTop };
}

function nodeAt(px, py) {
  const depth = Math.floor((py + scroll.scrollTop) / ROW);
  const weight = view.from + px / view.pixels * view.width;
  for (const node of view.rows[depth] || [])
    if (node.weight > 0 && weight >= node.x && weight < node.x + node.weight) return node;
  return null;
}

// ---- text ----

const widths = new Map();
function widthOf(text) {
  let w = widths.get(text);
  if (w === undefined) {
    if (widths.size > 20000) widths.clear();
    widths.set(text, w = pen.measureText(text).width);
  }
  return w;
}

function labelOf(frame, room) {
  if (room < 18) return "";
  for (const form of frame.forms) if (widthOf(form) <= room) return form;
  const text = frame.forms[frame.forms.length - 1];
  let low = 0, high = text.length; // the longest beginning that fits
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(text.slice(0, middle) + "\u2026").width <= room) low = middle;
    else high = middle - 1;
  }
  return low > 1 ? text.slice(0, low) + "\u2026" : "";
}

// ---- drawing ----

function drawNode(node, style) {
  const box = boxOf(node);
  if (box.w < 0.3 || box.y + ROW < 0 || box.y > view.height) return;
  const isMatch = view.spot ? view.spot === node.frame : view.matches && view.matches.has(node.frame);
  const isDim = (view.matches || view.spot) && !isMatch;
  const isAbove = view.zoom && node.depth < view.zoom.depth;
  pen.globalAlpha = isAbove ? 0.55 : isDim ? 0.38 : 1;
  pen.fillStyle = isMatch ? style.match : fillOf(node);
  const gap = box.w > 3 ? 1 : 0;
  pen.fillRect(box.x, box.y, Math.max(box.w - gap, 0.6), ROW - 1);
  const label = labelOf(node.frame, box.w - 9);
  if (label) {
    pen.globalAlpha = isAbove ? 0.75 : isDim ? 0.55 : 1;
    pen.fillStyle = isMatch ? style.matchText : style.text;
    pen.fillText(label, box.x + 5, box.y + ROW / 2);
  }
  const isSame = view.hovered && view.hovered !== node && view.hovered.frame === node.frame && !node.frame.isRoot;
  if (isSame && box.w > 3) outline(node, style.faint, 1); // wherever else the function is
  if (node.cut > 0 && node.children.length === 0 && box.w > 6) drawCut(box, style);
}

// A dotted edge below: there is more that was left out.
function drawCut(box, style) {
  pen.fillStyle = style.faint;
  for (let x = box.x + 3; x < box.x + box.w - 3; x += 5) pen.fillRect(x, box.y + ROW - 3, 2, 1);
}

function outline(node, colour, width) {
  if (!node) return;
  const box = boxOf(node);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.strokeRect(box.x + width / 2, box.y + width / 2, Math.max(box.w - width - 1, 1), ROW - 1 - width);
}

function draw() {
  view.timer = 0;
  const css = getComputedStyle(document.documentElement);
  const style = { text: css.getPropertyValue("--text"), faint: css.getPropertyValue("--faint"),
    match: isDark() ? "#b8860b" : "#ffd54a", matchText: isDark() ? "#ffffff" : "#1b1f24" };
  const scale = window.devicePixelRatio || 1;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, view.pixels, view.height);
  pen.font = "12px " + getComputedStyle(document.body).fontFamily;
  pen.textBaseline = "middle";
  const first = Math.floor(scroll.scrollTop / ROW), last = Math.ceil((scroll.scrollTop + view.height) / ROW);
  const to = view.from + view.width;
  for (let depth = first; depth <= last; depth++)
    for (const node of view.rows[depth] || [])
      if (node.x + node.weight > view.from && node.x < to) drawNode(node, style);
  outline(view.hovered, style.text, 1);
  if (view.selected !== view.tree) outline(view.selected, css.getPropertyValue("--accent"), 2);
  pen.globalAlpha = 1;
}

function redraw() {
  if (!view.timer) view.timer = requestAnimationFrame(draw);
}

// ---- what is shown ----

function setTree(tree) {
  view.tree = tree;
  view.nodes = nodesOf(tree);
  view.rows = [];
  for (const node of view.nodes) (view.rows[node.depth] ||= []).push(node);
  for (const row of view.rows) row.sort((a, b) => a.x - b.x);
  view.hovered = null;
}

// Rows needed below the zoomed frame.
function measure() {
  let depth = 0;
  const zoom = view.zoom, end = zoom.x + zoom.weight;
  for (const node of view.nodes)
    if (node.depth > depth && (node.x >= zoom.x && node.x < end || node.depth <= zoom.depth)) depth = node.depth;
  view.depth = depth;
  sheet.style.height = (depth + 1) * ROW + "px";
}

function resize() {
  view.pixels = scroll.clientWidth;
  view.height = Math.min(scroll.clientHeight, Math.max(1, (view.depth + 1) * ROW));
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(view.pixels * scale);
  canvas.height = Math.round(view.height * scale);
  canvas.style.height = view.height + "px";
  draw();
}

const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function zoomTo(node, atOnce) {
  view.zoom = node;
  view.selected = node;
  measure();
  reveal(node);
  const from = view.from, width = view.width;
  const target = { from: node.x, width: node.weight || 1 };
  if (atOnce || isStill()) {
    view.from = target.from;
    view.width = target.width;
    resize();
    return;
  }
  resize();
  const start = performance.now(), me = view.motion = {};
  const step = (now) => {
    if (view.motion !== me) return;
    const t = Math.min(1, Math.max(0, (now - start) / 160)), s = t * (2 - t);
    view.from = from + (target.from - from) * s;
    view.width = width + (target.width - width) * s;
    draw();
    if (t < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// Scrolls so that the row of the node is in sight.
function reveal(node) {
  const y = node.depth * ROW;
  if (y < scroll.scrollTop) scroll.scrollTop = y;
  else if (y + ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = y + ROW - scroll.clientHeight;
}
