/** The playground: puts the parts together. Each part owns its piece of the page; what they share is in the store. */

import { announce } from "./announce.js";
import { Chat } from "./chat.js";
import { DEFAULTS } from "./chat/settings.js";
import { Code } from "./code.js";
import { byId } from "./dom.js";
import { followAddress, fromAddress } from "./frame/address.js";
import { Connection } from "./frame/connection.js";
import { CHOICES, Models } from "./frame/models.js";
import { Panel } from "./frame/panel.js";
import { Tabs } from "./frame/tabs.js";
import { Access } from "./session/access.js";
import { KeyCard } from "./session/card.js";
import { Keeper } from "./session/keeper.js";
import { errorWords, needsKey } from "./session/words.js";
import { Store } from "./store.js";
import { Translate } from "./translate.js";

class Playground {
  #store = new Store({ ...fromAddress(), settings: DEFAULTS, message: "", text: "" });
  #access = new Access(document.body.dataset.signedIn === "yes");
  #card = new KeyCard(this.#access, () => this.#begin());
  #models = new Models(this.#store);
  #code = new Code(this.#store);
  #connection = new Connection();
  #views = { chat: new Chat(this.#store, this.#models), translate: new Translate(this.#store, () => this.#access.get("/v1/languages")) };
  #keepers = {};
  #isListed = false;

  start() {
    const tabs = new Tabs(byId("tabs"), (tab) => this.#store.set({ tab }));
    tabs.show(this.#store.values.tab);
    new Panel("settings", "settings-toggle");
    followAddress(this.#store);
    for (const tab of Object.keys(this.#views)) this.#keep(tab);
    this.#store.watch("tab", () => this.#showTab());
    for (const choice of Object.values(CHOICES)) this.#store.watch(choice, () => this.#introduce());
    byId("forget-key").addEventListener("click", () => this.#forget());
    this.#connection.watch(this.#keeper);
    if (this.#access.isPossible) this.#begin();
    else this.#ask();
  }

  get #view() {
    return this.#views[this.#store.values.tab];
  }

  get #keeper() {
    return this.#keepers[this.#store.values.tab];
  }

  #keep(tab) {
    const view = this.#views[tab];
    const onFrame = (direction, event) => this.#code.events.add(direction, event);
    const keeper = new Keeper({ access: this.#access, task: tab, restore: (session) => view.restore(session), onFrame });
    keeper.addEventListener("state", () => this.#stateChanged(keeper));
    this.#store.watch(CHOICES[tab], (model) => keeper.useModel(model));
    view.keeper = this.#keepers[tab] = keeper;
  }

  /** There is a key or someone signed in: list the models, then open the session in view. */
  async #begin() {
    this.#showAccess(false);
    this.#view.focus();
    await this.#list();
    for (const keeper of Object.values(this.#keepers)) if (keeper === this.#keeper || keeper.state.name !== "idle") keeper.open();
  }

  async #list() {
    try {
      this.#models.use((await this.#access.get("/v1/models")).models);
      this.#introduce();
      this.#isListed = true;
    } catch {
      this.#isListed = false; // the session will fail the same way, say why, and list again when it comes back
    }
  }

  #introduce() {
    for (const [tab, view] of Object.entries(this.#views)) {
      const model = this.#models.chosen(tab);
      if (model) view.introduce(model);
    }
  }

  #stateChanged(keeper) {
    const { name, error } = keeper.state;
    if (name === "ready" && !this.#isListed) this.#list();
    if (name !== "refused") return;
    if (needsKey(error)) this.#ask(errorWords(error));
    else announce(errorWords(error)); // the notice counts down, so it can't be a live region
  }

  #showTab() {
    this.#connection.watch(this.#keeper);
    if (this.#keeper.state.name === "idle" && this.#access.isPossible) this.#keeper.open();
    if (!byId("access").hidden) this.#showAccess(true);
  }

  #ask(reason = "") {
    this.#showAccess(true);
    this.#card.show(reason);
  }

  /** While a key is asked for, what was typed stays in view. */
  #showAccess(asked) {
    if (!asked) this.#card.hide();
    document.body.classList.toggle("asks-key", asked && !this.#view.hasContent);
    byId("forget-key").hidden = !this.#access.hasKey;
  }

  #forget() {
    this.#access.dropKey();
    location.reload(); // the sessions and the list belong to that key
  }
}

new Playground().start();
