"use strict";
// Elements, numbers and drawings. Text goes into the page only as text: names of nodes and files hold any characters.
const SVG = "http://www.w3.org/2000/svg";
const COLORS = ["var(--operator)", "var(--sink)", "var(--source)", "var(--tap)", "var(--transport)", "var(--sync)", "var(--bad)", "var(--soft)"];
const REASONS = ["var(--sync)", "var(--bad)", "var(--transport)", "var(--tap)", "var(--operator)", "var(--source)", "var(--sink)", "var(--soft)"];

function make(name, attributes, ...children) {
  const element = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const svg = (name, attributes, ...children) => make("svg:" + name, attributes, ...children);

function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return size >= 1e7 ? `${(value / 1e6).toFixed(0)}M` : size >= 1e4 ? `${(value / 1e3).toFixed(0)}k` :
    size >= 100 || Number.isInteger(value) ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}
function time(ns) {
  if (ns === null || ns === undefined) return "–";
  const [unit, size] = ns >= 1e9 ? ["s", 1e9] : ns >= 1e6 ? ["ms", 1e6] : ["µs", 1e3], value = ns / size;
  return `${ns ? value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2) : 0}\u00a0${unit}`;
}
const bytes = (n) => n >= 1e9 ? `${(n / 1e9).toFixed(2)} GB` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e3).toFixed(1)} kB`;
const sum = (values) => values.reduce((a, b) => a + b, 0);

// -- histograms: [[bin, count], ...]; the bins of pipeline/runtime/histogram.py
const nsOf = (bin) => 100 * 10 ** ((bin - 0.5) / 128);
function quantile(bins, q) {
  let left = Math.max(1, Math.ceil(q * sum(bins.map(([, n]) => n))));
  for (const [bin, n] of bins) if ((left -= n) <= 0) return nsOf(bin);
  return null;
}
function minus(bins, before) {
  const old = new Map(before);
  return bins.map(([bin, n]) => [bin, n - (old.get(bin) || 0)]).filter(([, n]) => n > 0);
}
const STEP_BINS = 8;  // bins drawn as one bar: 16 bars a decade
function shape(bins, low, high, kind) {
  const first = Math.floor(low / STEP_BINS), count = Math.max(1, Math.floor(high / STEP_BINS) - first + 1);
  const bars = new Array(count).fill(0);
  for (const [bin, n] of bins) bars[Math.floor(bin / STEP_BINS) - first] += n;
  const most = Math.max(...bars, 1), picture = svg("svg", {viewBox: `0 0 ${count} 100`, preserveAspectRatio: "none"});
  bars.forEach((n, i) => n && picture.append(svg("rect", {x: i + 0.06, width: 0.88, y: 100 - Math.max(5, 96 * n / most), height: 100, class: kind})));
  return picture;
}

// -- the graph: boxes and edges as the drawing says; figures are filled in by `showFigures`
function drawGraph(drawing) {
  const {width, height} = drawing, nodes = new Map(), edges = new Map();
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": "the graph"});
  picture.style.maxWidth = "100%";
  picture.style.minWidth = `${Math.round(Math.min(width, 0.8 * width))}px`;
  for (const g of drawing.groups)
    picture.append(svg("rect", {x: g.x, y: g.y, width: g.width, height: g.height, rx: 8, class: "group"}), text(g.x + 10, g.y + 15, g.name, "start", "soft"));
  for (const e of drawing.edges) {
    const label = text(e.x - 10, e.y - 5, "", "end", "");
    const group = svg("g", {class: "edge"}, svg("title", {}, e.name), svg("path", {d: e.path, "stroke-dasharray": e.static ? "5 4" : null}),
      svg("path", {class: "head", d: `M${e.x - 7} ${e.y - 4} L${e.x} ${e.y} L${e.x - 7} ${e.y + 4} Z`}), label);
    picture.append(group);
    edges.set(e.name, {group, label, faults: e.faults});
    if (e.faults) label.append(svg("tspan", {class: "drops"}, e.faults));
  }
  for (const n of drawing.nodes) {
    const middle = n.x + n.width / 2, foot = n.y + n.height;
    const lines = [text(middle, foot - 22, "", "middle", "figure"), text(middle, foot - 7, "", "middle", "figure soft")];
    const title = svg("title", {}, n.name);
    const group = svg("g", {class: `node ${n.kind}`}, title, svg("rect", {x: n.x, y: n.y, width: n.width, height: n.height, rx: 6}),
      text(middle, n.y + 18, n.name, "middle", "name"), text(middle, n.y + 34, n.what, "middle", "soft"), ...lines,
      ...n.inputs.map(([name, x, y]) => text(x + 8, y + 4, name, "start", "")), ...n.outputs.map(([name, x, y]) => text(x - 8, y + 4, name, "end", "")));
    picture.append(group);
    nodes.set(n.name, {group, lines, title, kind: n.kind});
  }
  return {picture, nodes, edges};
}
const text = (x, y, words, anchor, kind) => svg("text", {x, y, "text-anchor": anchor, class: kind || null}, words);

// -- a chart over time: lines (values per second) or stacked bars (counts); redrawn when its width changes
function chart(holder, series, t0, step, kind, marks) {
  let drawn = 0;
  const draw = () => {
    if (holder.clientWidth === drawn) return;
    drawn = holder.clientWidth;
    const width = Math.max(240, drawn), height = 150, left = 42, bottom = 20, n = series[0] ? series[0].values.length : 0;
    if (!n) return;
    const totals = kind === "bars" ? series[0].values.map((_, i) => sum(series.map((s) => s.values[i]))) : series.flatMap((s) => s.values);
    const most = Math.max(...totals, 1e-9) * 1.08, x = (i) => left + (width - left - 8) * i / n, y = (v) => 6 + (height - bottom - 6) * (1 - v / most);
    const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, height});
    for (const share of [0, 0.5, 0.92]) {
      picture.append(svg("line", {x1: left, x2: width - 8, y1: y(most * share), y2: y(most * share), class: "grid"}));
      picture.append(text(left - 5, y(most * share) + 4, number(most * share), "end"));
    }
    const ticks = Math.max(2, Math.floor(width / 110));
    for (let k = 0; k <= ticks; k++) picture.append(text(x(n * k / ticks), height - 4, `${number(t0 + step * n * k / ticks)} s`, k === 0 ? "start" : k === ticks ? "end" : "middle"));
    const under = new Array(n).fill(0);
    for (const s of series) {
      if (kind === "bars") s.values.forEach((v, i) => {
        if (v) picture.append(svg("rect", {x: x(i) + 0.3, width: Math.max(0.8, x(1) - x(0) - 0.6), y: y(under[i] + v), height: Math.max(0.5, y(under[i]) - y(under[i] + v)), fill: s.color}, svg("title", {}, `${s.name}: ${v}`)));
        under[i] += v;
      });
      else picture.append(svg("polyline", {stroke: s.color, points: s.values.map((v, i) => `${x(i + 0.5).toFixed(1)},${y(v).toFixed(1)}`).join(" ")}));
    }
    for (const mark of marks || []) {
      const at = x((mark.t - t0) / step);
      if (at >= left && at <= width) picture.append(svg("line", {x1: at, x2: at, y1: 4, y2: height - bottom, class: "mark"}, svg("title", {}, mark.text)));
    }
    holder.replaceChildren(picture);
  };
  draw();
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(holder);
}
const legend = (entries) => make("div", {class: "legend"}, ...entries.map(([name, color]) => {
  const patch = make("i");
  if (color.startsWith("var")) patch.style.background = color; else patch.className = color;
  return make("span", {}, patch, name);
}));
