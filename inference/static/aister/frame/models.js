/** Which models there are: the list in the top bar, the chip of a demonstration model, and what that chip opens. */

import { byId, el } from "../dom.js";

/** The task of a tab, as models name it. */
export const TASKS = { chat: "chat", translate: "translation" };

/** The place in the store of a tab's model. */
export const CHOICES = { chat: "chatModel", translate: "translationModel" };

const VARIABLES = { chat: "AISTER_CHAT_MODEL=Qwen/Qwen3-0.6B", translate: "AISTER_TRANSLATION_MODEL=facebook/m2m100_418M" };

const MOST_WIDTH_PX = 380;
const MARGIN_PX = 12;

export class Models {
  #store;
  #models = [];
  #select = byId("model");

  /** @param {import("../store.js").Store} store */
  constructor(store) {
    this.#store = store;
    this.#select.addEventListener("change", () => this.#store.set({ [CHOICES[store.values.tab]]: this.#select.value }));
    for (const name of ["tab", ...Object.values(CHOICES)]) store.watch(name, () => this.#show());
    byId("demonstration").addEventListener("click", () => placeUnder(byId("demonstration-card"), byId("demonstration")));
  }

  /** Take the list of `GET /v1/models`; a model that is not in it gives way to the default. @param {object[]} models */
  use(models) {
    this.#models = models;
    for (const [tab, choice] of Object.entries(CHOICES)) {
      const known = this.#of(tab).some(({ id }) => id === this.#store.values[choice]);
      if (!known) this.#store.set({ [choice]: this.#fallback(tab)?.id ?? null });
    }
    this.#show();
  }

  /** The chosen model of a tab, or undefined before the list is here. @param {string} tab */
  chosen(tab) {
    return this.#of(tab).find(({ id }) => id === this.#store.values[CHOICES[tab]]);
  }

  #of(tab) {
    return this.#models.filter(({ task }) => task === TASKS[tab]);
  }

  #fallback(tab) {
    return this.#of(tab).find((model) => model.default) ?? this.#of(tab)[0];
  }

  #show() {
    const { tab } = this.#store.values;
    const model = this.chosen(tab);
    const options = this.#of(tab).map(({ id }) => el("option", { value: id }, id));
    this.#select.replaceChildren(...(options.length ? options : [el("option", {}, "No model")]));
    this.#select.disabled = options.length < 2;
    if (model) this.#select.value = model.id;
    byId("demonstration").hidden = !model?.demonstration;
    if (model?.demonstration) describe(model, tab);
  }
}

function describe(model, tab) {
  const command = `${VARIABLES[tab]} make serve`;
  byId("demonstration-card").replaceChildren(
    el("h2", {}, `${model.id} is a demonstration`),
    el("p", {}, model.description),
    el("p", {}, "It shows that everything works, and is wrong about much else. For real use, start Aister with a model of your choice, a directory or a hub id:"),
    el("pre", { tabindex: "0" }, el("code", {}, command)),
  );
}

/** Placed before it is shown, when it has no width yet: the most it can have is known. @param {HTMLElement} card @param {HTMLElement} button */
function placeUnder(card, button) {
  const { left, bottom } = button.getBoundingClientRect();
  const width = Math.min(MOST_WIDTH_PX, innerWidth - 2 * MARGIN_PX);
  card.style.top = `${bottom + 8}px`;
  card.style.left = `${Math.min(left, innerWidth - width - MARGIN_PX)}px`;
}
