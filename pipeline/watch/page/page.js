// The page of one run: sections from the data that pipeline/watch/page/content.py makes.
const KINDS = [["queued", "waits for room at its sender"], ["transport", "on the way, until its reader takes it"], ["sync", "taken, waits for other inputs or its turn"], ["compute", "process() or read()"], ["write", "copied and committed"]];

const panel = (title, ...children) => make("section", {class: "panel"}, make("h2", {}, title), ...children);
const total = (dropped) => sum(Object.values(dropped));
const dead = (process) => process && (process.state === "restarting" || process.state === "given up");

function definitions(values) {
  const list = make("dl");
  for (const [key, value] of Object.entries(values || {})) {
    if (value === null || value === "" || (typeof value === "object" && !Object.keys(value).length)) continue;
    list.append(make("dt", {}, key), make("dd", {}, typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value).replace(/([,:])(?=\S)/g, "$1 ") : String(value)));
  }
  return list;
}
function table(columns, rows, texts) {
  const cell = (kind, value, i) => make(kind, {class: texts.includes(i) ? "text" : null}, value instanceof Node ? value : String(value));
  return make("div", {class: "wide"}, make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((c, i) => cell("th", c, i)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((c, i) => cell("td", c, i)))))));
}

function heading(data) {
  const {snapshot, run} = data, state = snapshot.exit || "running", latencies = Object.entries(snapshot.nodes).filter(([, n]) => n.latency && n.latency.length);
  const drops = sum(Object.values(snapshot.edges).map((e) => total(e.dropped)));
  const restarts = sum(Object.values(snapshot.processes).map((p) => p.restarts)) || (data.report ? Math.max(0, ...Object.values(data.report.nodes).map((n) => n.restarts)) : 0);
  const errors = sum(Object.values(snapshot.nodes).map((n) => n.errors));
  const card = (value, name, bad) => make("div", {class: "card"}, make("b", {class: bad ? "bad" : null}, value), make("span", {}, name));
  const started = run.wall_ns ? new Date(run.wall_ns / 1e6).toLocaleString() : "";
  return make("header", {},
    make("div", {class: "head"}, make("h1", {}, snapshot.graph), make("span", {class: `badge ${state}`, id: "state"}, state), make("span", {class: "soft small"}, started)),
    make("div", {class: "soft small"}, [`run ${snapshot.run}`, run.file, run.commit && `commit ${run.commit.slice(0, 12)}`].filter(Boolean).join(" · ")),
    make("div", {class: "cards"}, card(number(snapshot.frames), "frames"), card(`${snapshot.wall_s.toFixed(1)} s`, "wall time"),
      card(number(data.rate ?? snapshot.frames / (data.span_s || snapshot.wall_s || 1)), "frames per second"),
      ...latencies.slice(0, 4).map(([name, n]) => card(time(quantile(n.latency, 0.5)), `latency p50 at ${name}; p99 ${time(quantile(n.latency, 0.99))}`)),
      card(number(drops), "frames dropped", drops), card(number(restarts), "restarts", restarts), card(number(errors), "errors", errors)));
}

// Figures of nodes and edges; before: an earlier snapshot, then rates and latencies are of the time between.
function showFigures(graph, snapshot, before, span_s, recent) {
  for (const [name, parts] of graph.nodes) {
    const n = snapshot.nodes[name], old = before && before.nodes[name];
    if (!n) continue;
    const compute = old ? minus(n.compute, old.compute) : n.compute, rate = (n.steps - (old ? old.steps : 0)) / span_s;
    const process = snapshot.processes[n.place], restarted = n.restarts ? ` · ${n.restarts} restart${n.restarts > 1 ? "s" : ""}` : "";
    const down = dead(process) || (recent && recent.has(n.place));
    parts.group.setAttribute("class", `node ${parts.kind}${down ? " dead" : n.state === "done" && !snapshot.exit ? " done" : ""}`);
    parts.lines[0].textContent = down && process.state !== "running" ? process.state : `${number(rate)}/s · p50 ${time(quantile(compute, 0.5))}`;
    parts.lines[1].textContent = `p99 ${time(quantile(compute, 0.99))}${restarted}${n.errors ? ` · ${n.errors} errors` : ""}`;
    parts.lines[1].setAttribute("class", restarted || n.errors ? "figure bad" : "figure soft");
    parts.title.textContent = [name, `${n.steps} steps, ${n.out} sent, state ${n.state}`, n.level && `level ${n.level}`, n.waits_for && `waits for room on ${n.waits_for}`, n.status,
      process && `process ${n.place}: ${process.state}, ${process.rss_mb} MB, ${process.cpu_s} s of CPU`].filter(Boolean).join("\n");
  }
  for (const [name, parts] of graph.edges) {
    const e = snapshot.edges[name], old = before && before.edges[name];
    if (!e) continue;
    const rate = (e.delivered - (old ? old.delivered : 0)) / span_s, drops = total(e.dropped);
    const words = `${number(rate)}/s${!snapshot.exit && e.in_flight ? ` q${e.in_flight}` : ""}`;
    const waiting = Object.values(snapshot.nodes).some((n) => n.waits_for === name);
    parts.group.setAttribute("class", waiting ? "edge full" : "edge");
    parts.label.replaceChildren(words, ...(drops ? [svg("tspan", {class: "drops"}, ` −${number(drops)}`)] : []), ...(parts.faults ? [svg("tspan", {class: "drops"}, ` ${parts.faults}`)] : []));
  }
}

function stages(snapshot) {
  const rows = [];
  for (const [name, n] of Object.entries(snapshot.nodes)) rows.push([name, n.compute, "compute"]);
  for (const [name, e] of Object.entries(snapshot.edges)) rows.push([name.replace("->", " → "), e.hop, "transport"]);
  for (const [name, n] of Object.entries(snapshot.nodes)) if (n.latency) rows.push([`${name}, capture to here`, n.latency, "latency"]);
  const shown = rows.filter(([, bins]) => bins && bins.length), all = shown.flatMap(([, bins]) => [bins[0][0], bins[bins.length - 1][0]]);
  if (!shown.length) return make("p", {class: "soft"}, "No frame has passed yet.");
  const low = Math.min(...all), high = Math.max(...all);
  const holder = make("div", {class: "stages"}, make("span", {class: "top label stage"}), make("span", {class: "soft small axis"}, `${time(nsOf(low))} … ${time(nsOf(high))}, logarithmic`),
    ...["p50", "p95", "p99"].map((q) => make("span", {class: "top label"}, q)));
  for (const [name, bins, kind] of shown)
    holder.append(make("span", {class: "stage"}, name), make("span", {class: "shape"}, shape(bins, low, high, kind)),
      ...[0.5, 0.95, 0.99].map((q, i) => make("span", {class: "number", title: `p${[50, 95, 99][i]}`}, time(quantile(bins, q)))));
  return make("div", {}, legend([["compute of a node", "compute"], ["an edge: return of process() to call of the next", "transport"], ["capture to sink", "latency"]]), holder);
}

function waterfall(data, story) {
  const holder = make("div", {class: "fall"}), scale = Math.max(story.total, 1);
  holder.append(make("span"), make("span", {class: "axis"}, ...[0, 0.25, 0.5, 0.75, 1].map((s) => make("span", {}, time(scale * s)))));
  let row = null, named = null;
  for (const [name, kind, from, length, onPath] of story.spans) {
    if (name !== named) {
      row = make("div", {class: "track"});
      named = name;
      holder.append(make("span", {}, name), row);
    }
    const span = make("div", {class: `span ${kind}${onPath ? " path" : ""}`, title: `${name}: ${kind} ${time(length)}, from ${time(from)}${onPath ? ", on the critical path" : ""}`});
    span.style.left = `${100 * from / scale}%`;
    span.style.width = `${100 * length / scale}%`;
    row.append(span);
  }
  for (const words of story.drops) holder.append(make("span", {class: "bad"}, "dropped"), make("span", {class: "bad"}, words));
  return holder;
}

// One section for the stories of frames: a slider over all of them, buttons for the slowest. `stories` may be replaced while live.
function frames(data) {
  const slider = make("input", {type: "range", min: 0, value: 0, "aria-label": "frame"}), words = make("div", {class: "small"}), holder = make("div"), chips = make("div", {class: "chips"}), note = make("p", {class: "soft small"});
  const section = panel("Frames", make("div", {class: "soft small"}, "Where the time of one frame went: move the slider, or choose one of the slowest."), chips, slider, words,
    legend(KINDS.map(([kind, meaning]) => [`${kind}: ${meaning}`, kind])), holder, note);
  let stories = {frames: [], slow: []}, held = false;
  const show = () => {
    const story = stories.frames[Number(slider.value)];
    if (!story) return;
    words.textContent = `${story.frame}, ${story.at_s.toFixed(3)} s after the start, ${time(story.total)} in all`;
    holder.replaceChildren(waterfall(data, story));
    for (const chip of chips.children) chip.className = Number(chip.dataset.at) === Number(slider.value) ? "on" : "";
  };
  const set = (next) => {
    const kept = held && stories.frames[Number(slider.value)];
    stories = next;
    slider.max = Math.max(0, stories.frames.length - 1);
    const again = kept ? stories.frames.findIndex((s) => s.frame === kept.frame) : -1;
    slider.value = again >= 0 ? again : held || !data.live ? stories.slow[0] || 0 : stories.frames.length - 1;
    chips.replaceChildren(...stories.slow.map((i) => {
      const chip = make("button", {type: "button", "data-at": i}, `${stories.frames[i].frame} · ${time(stories.frames[i].total)}`);
      chip.onclick = () => { held = true; slider.value = i; show(); };
      return chip;
    }));
    note.textContent = stories.note || "";
    if (!stories.frames.length) holder.replaceChildren(make("p", {class: "soft"}, "No frame has reached a sink."));
    show();
  };
  slider.oninput = () => { held = true; show(); };
  set(data.stories || stories);
  return {section, set, follow: () => { held = false; }};
}

function overTime(data) {
  const {series} = data;
  if (!series || !series.n) return null;
  const rates = Object.entries(series.rates).map(([name, counts], i) => ({name, color: COLORS[i % COLORS.length], values: counts.map((c) => c / series.step_s)}));
  const drops = Object.entries(series.drops).map(([name, values], i) => ({name, color: REASONS[i % REASONS.length], values}));
  const marks = (data.lives || []).filter((l) => l.why).map((l) => ({t: l.at_s, text: `${l.place}: ${l.why}`})), first = make("div", {class: "chart"}), second = make("div", {class: "chart"});
  const section = panel("Over time", make("h3", {}, "Frames per second"), legend(rates.map((r) => [r.name, r.color])), first, make("h3", {}, "Frames dropped, by reason"),
    ...(drops.length ? [legend(drops.map((d) => [`${d.name} ${sum(d.values)}`, d.color])), second] : [make("p", {class: "soft small"}, "None.")]));
  requestAnimationFrame(() => {
    chart(first, rates, series.from_s, series.step_s, "lines", marks);
    if (drops.length) chart(second, drops, series.from_s, series.step_s, "bars", marks);
  });
  return section;
}

function ledger(snapshot) {
  const rows = Object.entries(snapshot.edges).map(([name, e]) => [name.replace("->", " → "), e.produced, e.delivered, Object.entries(e.dropped).map(([r, n]) => `${n} ${r}`).join(", ") || "–", e.in_flight, bytes(e.bytes), bytes(e.copied_bytes), time(quantile(e.hop, 0.5)), time(quantile(e.hop, 0.99))]);
  return panel("Edges", table(["edge", "produced", "delivered", "dropped", "in flight", "bytes", "copied", "hop p50", "hop p99"], rows, [0, 3]));
}
function nodesTable(snapshot, report) {
  const rows = Object.entries(snapshot.nodes).map(([name, n]) => {
    const r = report ? report.nodes[name] : null, p = snapshot.processes[n.place];
    return [name, r ? r.in : "–", n.out, n.errors, n.restarts, time(quantile(n.compute, 0.5)), time(quantile(n.compute, 0.95)), time(quantile(n.compute, 0.99)), r ? r.cpu_s.toFixed(2) : p ? p.cpu_s.toFixed(2) : "–", r ? number(r.rss_mb) : p ? number(p.rss_mb) : "–", n.status || ""];
  });
  return panel("Nodes", table(["node", "in", "out", "errors", "restarts", "p50", "p95", "p99", "CPU s", "MB", "status"], rows, [0, 10]));
}
function restarts(data) {
  const deaths = (data.lives || []).filter((l) => l.why);
  if (!deaths.length) return null;
  const ms = (t) => t === null || t === undefined ? "–" : t.toFixed(0);
  const rows = deaths.map((l) => [l.place, `${l.at_s.toFixed(2)} s`, l.why, l.pid === null ? "given up" : `pid ${l.pid}`, ...["detect", "spawn", "import", "open", "first_frame"].map((k) => ms(l.ms && l.ms[k]))]);
  return panel("Restarts", table(["process", "at", "why", "then", "detect ms", "spawn", "import", "open", "first frame"], rows, [0, 2]));
}
function changes(snapshot) {
  const parts = [];
  if (snapshot.quality.length) parts.push(make("h3", {}, "Levels of quality"), table(["node", "level", "from frame", "reason"], snapshot.quality.map((q) => [q.node, q.level, q.at_frame, q.reason]), [0, 1, 3]));
  if (snapshot.injected.length) parts.push(make("h3", {}, "Injected faults"), table(["fault", "node", "frames"], snapshot.injected.map((i) => [i.text, i.node, i.frames]), [0, 1]));
  return parts.length ? panel("Levels and faults", ...parts) : null;
}
function media(data) {
  if (!data.media.length) return null;
  const link = (path, child) => make("a", {href: path, target: "_blank", rel: "noopener"}, child);
  return panel("Pictures and videos", ...data.media.flatMap((m) => [
    make("h3", {}, m.node + (m.more ? ` (${m.pictures.length} of ${m.pictures.length + m.more} pictures)` : "")),
    make("div", {class: "videos"}, ...m.videos.map((v) => make("figure", {}, make("video", {src: v.path, controls: "", preload: "metadata", muted: ""}), make("figcaption", {}, link(v.path, v.name))))),
    make("div", {class: "pictures"}, ...m.pictures.map((p) => make("figure", {}, link(p.path, make("img", {src: p.path, loading: "lazy", alt: p.name})), make("figcaption", {}, p.name))))]));
}
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
function leaves(value, path) {
  if (isObject(value)) return Object.entries(value).flatMap(([k, v]) => leaves(v, path ? `${path} · ${k}` : k));
  return [[path, typeof value === "number" ? (Number.isInteger(value) ? value : value.toPrecision(4)) : typeof value === "object" ? JSON.stringify(value) : String(value)]];
}
// Objects of one form, such as the classes of a score, are the columns of a table; everything else is a row of its own.
function scoreTables(value, path, tables, single) {
  const parts = isObject(value) ? Object.values(value).filter(isObject) : [];
  if (!isObject(value)) single.push(...leaves(value, path));
  else if (parts.length > 1 && parts.length === Object.keys(value).length && parts.length <= 20) {
    const columns = Object.keys(value), cells = columns.map((c) => new Map(leaves(value[c], ""))), names = [...new Set(cells.flatMap((c) => [...c.keys()]))];
    tables.push([path, table(["", ...columns], names.slice(0, MOST_ROWS).map((n) => [n, ...cells.map((c) => c.has(n) ? c.get(n) : "–")]), [0]), names.length]);
  } else for (const [key, inner] of Object.entries(value)) scoreTables(inner, path ? `${path} · ${key}` : key, tables, single);
}
const MOST_ROWS = 200;
function scores(data) {
  if (!data.scores.length) return null;
  return panel("Scores", ...data.scores.flatMap((s) => {
    const tables = [], single = [];
    scoreTables(s.scores, "", tables, single);
    const left = sum(tables.map(([, , n]) => Math.max(0, n - MOST_ROWS))) + Math.max(0, single.length - MOST_ROWS);
    return [make("h3", {}, s.node), definitions(Object.fromEntries(single.slice(0, MOST_ROWS))), ...tables.flatMap(([name, made]) => [make("h3", {}, name), made]),
      left ? make("p", {class: "soft small"}, `${left} more in ${s.file}`) : null];
  }));
}
function configs(data) {
  const {run} = data;
  return panel("Configuration", ...run.nodes.map((n) => make("details", {}, make("summary", {}, make("b", {}, n.name), ` ${n.driver || n.op}`, make("span", {class: "soft small"}, `${n.place === n.name ? "" : ` in process ${n.place}`}`)), definitions(n.config))),
    make("details", {}, make("summary", {}, "graph file ", make("span", {class: "soft small"}, run.file || "")), make("pre", {}, run.text || "")),
    make("details", {}, make("summary", {}, "options of the run"), definitions(run.options)));
}
function machine(data) {
  const board = data.report ? data.report.board : data.snapshot.board, digest = data.report ? data.report.digest : {};
  return panel("Machine", definitions({...data.run.machine, ...board}), make("h3", {}, "Versions"), definitions(data.run.versions),
    ...(Object.keys(digest).length ? [make("h3", {}, "Digests of the sinks"), definitions(digest)] : []));
}
const cuts = (data) => data.cuts.length ? panel("What this page leaves out", make("ul", {class: "small soft"}, ...data.cuts.map((c) => make("li", {}, c)))) : null;

// Shows everything; returns what a live page goes on changing.
function render(data, extra) {
  const page = document.getElementById("page"), graph = drawGraph(data.drawing), holder = make("div", {class: "stagesholder"}, stages(data.snapshot)), story = frames(data);
  const head = make("div", {}, heading(data)), tables = make("div");
  const fill = (snapshot) => tables.replaceChildren(...[nodesTable(snapshot, data.report), ledger(snapshot), changes(snapshot)].filter(Boolean));
  fill(data.snapshot);
  showFigures(graph, data.snapshot, null, data.span_s || data.snapshot.wall_s || 1, null);
  page.replaceChildren(...[head, data.errors.length ? make("section", {class: "panel errors bad"}, data.errors.join("\n")) : null,
    make("section", {class: "panel graph"}, make("h2", {}, "Graph"), make("div", {class: "wide"}, graph.picture)), ...(extra || []), media(data),
    make("div", {class: "columns"}, make("div", {}, ...[story.section, overTime(data), restarts(data), scores(data)].filter(Boolean)), make("div", {}, panel("Latency per stage", holder))),
    tables, make("div", {class: "columns"}, configs(data), machine(data)), cuts(data)].filter(Boolean));
  return {graph, head, holder, story, fill};
}
