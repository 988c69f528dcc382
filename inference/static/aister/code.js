/** The code panel: the code that does the same, following every setting, and the events of this page's sessions. */

import { EventsView } from "./code/events.js";
import { SNIPPETS } from "./code/snippets.js";
import { byId, copyButton } from "./dom.js";
import { Panel } from "./frame/panel.js";
import { Tabs } from "./frame/tabs.js";

const MOST_CHARACTERS = 400;

export class Code {
  events = new EventsView();
  #store;
  #language = "curl";

  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.#store = store;
    const panel = new Panel("code", "code-toggle", { openWhenWide: true });
    const tabs = new Tabs(byId("code-tabs"), (name) => this.#show(name));
    tabs.show(this.#language);
    byId("snippet-tools").append(copyButton(() => this.#snippet()));
    byId("code-toggle").addEventListener("click", () => panel.isOpen && this.events.show());
    store.addEventListener("change", () => this.#write());
    this.#write();
  }

  #show(name) {
    if (name === "events") return this.events.show();
    this.#language = name;
    byId("panel-snippet").setAttribute("aria-labelledby", `code-${name}`);
    this.#write();
  }

  #write() {
    byId("snippet").textContent = this.#snippet();
  }

  #snippet() {
    return SNIPPETS[this.#language](viewOf(this.#store.values));
  }
}

function viewOf({ tab, chatModel, translationModel, settings, message, text, source, target }) {
  const isChat = tab === "chat";
  return {
    task: tab,
    origin: location.origin,
    model: isChat ? chatModel : translationModel,
    settings: Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null)),
    text: shortened(isChat ? message || "Hello!" : text.trim() || "Good morning"),
    source,
    target: target ?? "fr",
  };
}

/** Code with a whole page of text in it can't be read. */
function shortened(text) {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
}
