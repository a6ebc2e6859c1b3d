// The newest picture of a sink: the end of its growing video, or its newest file of a picture. `node` has both.
class Newest {
  constructor(node) {
    this.node = node;
    this.video = make("video", {muted: "", playsinline: ""});
    this.video.muted = true;
    this.image = make("img", {alt: `newest picture of ${node}`});
    this.caption = make("figcaption", {}, node);
    this.figure = make("figure", {}, this.caption);
    this.shown = null;
    this.busy = false;
    this.name = "";
    this.at = "";
    this.plays = "MediaSource" in window;
  }
  show(element) {
    if (this.shown === element) return;
    this.shown = element;
    this.figure.replaceChildren(element, this.caption);
  }
  update({film, picture}) {
    if (film && this.plays) this.follow();
    else if (picture && this.image.getAttribute("src") !== picture) {
      this.image.src = picture;
      this.show(this.image);
    }
  }
  async follow() {
    if (this.busy) return;
    this.busy = true;
    try {
      const query = new URLSearchParams({name: this.name, at: this.at}), answer = await fetch(`_/film/${encodeURIComponent(this.node)}?${query}`);
      if (!answer.ok) return;
      const part = await answer.arrayBuffer(), head = answer.headers;
      if (head.get("X-First") === "1") await this.begin(`video/mp4; codecs="${head.get("X-Codec")}"`);
      [this.name, this.at] = [decodeURIComponent(head.get("X-Name")), head.get("X-At")];
      if (part.byteLength) await this.append(part);
    } catch (error) {
      [this.name, this.at] = ["", ""];  // begin anew, at the newest key frame
    } finally {
      this.busy = false;
    }
  }
  async begin(kind) {
    if (!MediaSource.isTypeSupported(kind)) {
      this.plays = false;
      throw new Error(kind);
    }
    this.source = new MediaSource();
    const opened = new Promise((done) => this.source.addEventListener("sourceopen", done, {once: true}));
    if (this.url) URL.revokeObjectURL(this.url);
    this.video.src = this.url = URL.createObjectURL(this.source);
    this.show(this.video);
    await opened;
    this.buffer = this.source.addSourceBuffer(kind);
  }
  async append(part) {
    await this.change(() => this.buffer.appendBuffer(part));
    const ranges = this.buffer.buffered;
    if (!ranges.length) return;
    const end = ranges.end(ranges.length - 1);
    this.video.currentTime = Math.max(ranges.start(ranges.length - 1), end - 0.01);
    if (end - ranges.start(0) > 60) await this.change(() => this.buffer.remove(0, end - 30));
  }
  change(step) {
    return new Promise((done, failed) => {
      this.buffer.addEventListener("updateend", done, {once: true});
      this.buffer.addEventListener("error", failed, {once: true});
      step();
    });
  }
}
