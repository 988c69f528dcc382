/** The Events view: the frames of this page's sessions, sent and received, with times. Holds the latest 300; draws only while seen. */

import { byId, copyButton, el } from "../dom.js";

const MOST_FRAMES = 300;

export class EventsView {
  #frames = [];
  #paused = false;
  #drawing = 0;
  #list = byId("events");
  #startedAt = performance.now();

  constructor() {
    byId("events-pause").addEventListener("click", () => this.#pause());
    byId("events-clear").addEventListener("click", () => this.#clear());
    byId("events-tools").append(copyButton(() => this.#frames.map(line).join("\n"), "Copy"));
    this.#draw();
  }

  /** Take note of a frame. @param {"sent"|"received"} direction @param {object} event */
  add(direction, event) {
    if (this.#paused) return;
    this.#frames.push({ direction, event, at_s: (performance.now() - this.#startedAt) / 1000 });
    if (this.#frames.length > MOST_FRAMES) this.#frames.shift();
    this.#schedule();
  }

  /** Draw what came while nobody looked. */
  show() {
    this.#schedule();
  }

  #schedule() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => this.#list.checkVisibility() && this.#draw());
  }

  /** Rows stay as they are, open or folded; only those that left or came are touched. */
  #draw() {
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    for (const frame of this.#frames) frame.row ??= row(frame);
    const first = this.#frames[0]?.row ?? null;
    while (this.#list.firstChild && this.#list.firstChild !== first) this.#list.firstChild.remove();
    for (const frame of this.#frames) if (!frame.row.parentNode) this.#list.append(frame.row);
    byId("events-empty").hidden = this.#frames.length > 0;
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #pause() {
    this.#paused = !this.#paused;
    byId("events-pause").textContent = this.#paused ? "Go on" : "Pause";
    byId("events-pause").setAttribute("aria-pressed", String(this.#paused));
  }

  #clear() {
    this.#frames = [];
    this.#draw();
  }
}

function row({ direction, event, at_s }) {
  const arrow = el("span", { class: `arrow ${direction}`, "aria-label": direction, role: "img" }, direction === "sent" ? "↑" : "↓");
  const detail = event.type === "response.delta" ? JSON.stringify(event.text) : (event.status ?? event.error?.code ?? "");
  const head = [el("span", { class: "time" }, at_s.toFixed(2)), arrow, el("span", { class: "type" }, event.type), el("span", { class: "detail" }, detail)];
  const body = el("pre", { dir: "ltr" });
  const fill = () => {
    body.textContent ||= JSON.stringify(event, null, 2); // most are never opened
    body.scrollIntoView({ block: "nearest" });
  };
  return el("li", {}, el("details", { ontoggle: fill }, el("summary", {}, ...head), body));
}

function line({ direction, event, at_s }) {
  return `${at_s.toFixed(3)} ${direction === "sent" ? "->" : "<-"} ${JSON.stringify(event)}`;
}
