// The page of a run that lives: messages of pipeline/watch/serve.py change what `render` has drawn.
const WINDOW_S = 4, RED_MS = 4000, SLOW_MS = 2000;
const data = JSON.parse(document.getElementById("data").textContent);
const pictures = make("div", {class: "videos"}), log = make("div", {class: "log", role: "log"});
const newestPanel = panel("Newest pictures", pictures), logPanel = panel("Events", log);
newestPanel.hidden = logPanel.hidden = true;
const parts = render(data, [newestPanel, logPanel]), films = new Map();
let snapshots = [data.snapshot], deaths = new Map(), ended = false, slowAt = 0;

const feed = new EventSource("_/events");
const on = (kind, take) => feed.addEventListener(kind, (message) => take(JSON.parse(message.data)));

on("snapshot", (next) => {
  const previous = snapshots[snapshots.length - 1];
  for (const [place, process] of Object.entries(next.processes)) {
    const old = previous.processes[place];
    if (old && process.restarts > old.restarts) deaths.set(place, Date.now());
  }
  const recent = new Set([...deaths].filter(([, at]) => Date.now() - at < RED_MS).map(([place]) => place));
  snapshots = [...snapshots.filter((s) => next.time_ns - s.time_ns < WINDOW_S * 1e9), next];
  const before = snapshots[0], span_s = (next.time_ns - before.time_ns) / 1e9;
  if (span_s > 0) showFigures(parts.graph, next, before, span_s, recent);
  parts.head.replaceChildren(heading({...data, snapshot: next, rate: (next.frames - before.frames) / (span_s || 1)}));
  if (Date.now() - slowAt > SLOW_MS) {
    slowAt = Date.now();
    parts.holder.replaceChildren(stages(next));
    parts.fill(next);
    tellStories();
  }
});
on("newest", (nodes) => {
  for (const [node, what] of Object.entries(nodes)) {
    if (!films.has(node)) {
      films.set(node, new Newest(node));
      pictures.append(films.get(node).figure);
    }
    films.get(node).update(what);
    newestPanel.hidden = false;
  }
});
on("note", (words) => {
  log.append(`${words}\n`);
  log.scrollTop = log.scrollHeight;
  logPanel.hidden = false;
});
on("final", (last) => {
  ended = true;
  feed.close();
  const words = make("section", {class: "panel soft"}, `The run has ended, and this address with it. Pictures and videos: open ${last.file}`);
  render({...last, live: false, media: []}, [words, ...[newestPanel, logPanel].filter((p) => !p.hidden)]);
});
feed.onerror = () => {
  const badge = document.getElementById("state");
  if (ended || !badge) return;
  badge.className = "badge lost";
  badge.textContent = "connection lost";
};
async function tellStories() {
  try {
    const answer = await fetch("_/stories");
    if (answer.ok && !ended) parts.story.set(await answer.json());
  } catch (error) { /* the run has ended: `final` follows, or the badge says so */ }
}
setInterval(() => { if (!ended) for (const film of films.values()) if (film.shown === film.video) film.follow(); }, 250);
